import CrossServerClient
import CrossServerWire

/// What a line that was typed or read asks for.
enum ConnectLine: Equatable {
    case empty
    case request(event: String, Payload)
    case send(event: String, Payload)
    case help
    case history
    case ping
    case quit

    /// Why a line cannot be carried out, and the character of the line where the trouble is.
    struct Problem: Error, Equatable {
        var message: String
        var position: Int?
    }

    /// - Parameter allowsCommands: whether a line with a slash in front is a command.
    init(_ line: String, allowsCommands: Bool = true) throws(Problem) {
        let words = Self.split(line[...])
        guard let first = words.first else {
            self = .empty
            return
        }
        guard allowsCommands, first.hasPrefix("/") else {
            self = .request(event: first, try Self.payload(words.rest, in: line))
            return
        }
        switch first {
        case "/help": self = .help
        case "/history": self = .history
        case "/ping": self = .ping
        case "/quit": self = .quit
        case "/send":
            let arguments = Self.split(words.rest)
            guard let event = arguments.first else { throw Problem(message: "/send needs the name of an event") }
            self = .send(event: event, try Self.payload(arguments.rest, in: line))
        default:
            throw Problem(message: "there is no command \(first); /help lists them", position: 0)
        }
    }

    private static func split(_ text: Substring) -> (first: String?, rest: Substring) {
        let text = text.drop { $0.isWhitespace }
        let first = text.prefix { !$0.isWhitespace }
        return (first.isEmpty ? nil : String(first), text[first.endIndex...].drop { $0.isWhitespace })
    }

    private static func payload(_ text: Substring, in line: String) throws(Problem) -> Payload {
        if text.isEmpty { return .absent }
        do throws(JSONError) {
            return try Payload(json: String(text))
        } catch {
            let start = line.distance(from: line.startIndex, to: text.startIndex)
            switch error {
            case .endOfText:
                throw Problem(message: "not JSON: it ends too early", position: line.count)
            case .unexpectedByte(let offset):
                let index = text.utf8.index(text.startIndex, offsetBy: offset)
                let position = start + text.distance(from: text.startIndex, to: index)
                throw Problem(message: "not JSON: this cannot stand here", position: position)
            case .tooDeep(let maximum):
                throw Problem(message: "not sent: nested more than \(maximum) deep")
            }
        }
    }
}

extension ConnectLine.Problem {
    /// The message, and below it the line with a mark under the character that is meant.
    func text(line: String) -> String {
        guard let position = self.position else { return self.message }
        let shown = LogText.escaped(line)
        let width = TerminalText.width(LogText.escaped(String(line.prefix(position))))
        return "\(self.message) (character \(position + 1))\n  \(shown)\n  \(String(repeating: " ", count: width))^"
    }
}
