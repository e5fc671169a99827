extension PerMessageDeflate {
    static let name = "permessage-deflate"

    /// The parameters of one offer or answer (RFC 7692, section 7.1).
    private struct Parameters {
        enum WindowBits: Equatable {
            case unlimited
            case limited(Int)
        }

        var serverNoContextTakeover = false
        var clientNoContextTakeover = false
        var serverWindowBits: Int?
        var clientWindowBits: WindowBits?

        /// - Returns: nil when a parameter is unknown, invalid or there twice: such an offer must be declined.
        init?(_ offer: ExtensionOffer, allowsUnlimitedClientWindow: Bool) {
            var seen: Set<String> = []
            for parameter in offer.parameters {
                guard seen.insert(parameter.name).inserted else { return nil }
                switch parameter.name {
                case "server_no_context_takeover":
                    guard parameter.value == nil else { return nil }
                    self.serverNoContextTakeover = true
                case "client_no_context_takeover":
                    guard parameter.value == nil else { return nil }
                    self.clientNoContextTakeover = true
                case "server_max_window_bits":
                    guard let bits = Self.windowBits(parameter.value) else { return nil }
                    self.serverWindowBits = bits
                case "client_max_window_bits":
                    if parameter.value == nil {
                        guard allowsUnlimitedClientWindow else { return nil }
                        self.clientWindowBits = .unlimited
                    } else {
                        guard let bits = Self.windowBits(parameter.value) else { return nil }
                        self.clientWindowBits = .limited(bits)
                    }
                default:
                    return nil
                }
            }
        }

        /// 8 to 15 without leading zeros.
        private static func windowBits(_ value: String?) -> Int? {
            guard let value, let bits = Int(value), (8...15).contains(bits), String(bits) == value else { return nil }
            return bits
        }
    }

    private var serverLimit: Int { min(15, max(9, self.serverMaximumWindowBits)) }
    private var clientLimit: Int { min(15, max(9, self.clientMaximumWindowBits)) }

    /// The server's choice: the first offer that it can keep, and the value of its answer. Nil: no compression.
    func accept(_ offers: [ExtensionOffer]) -> (negotiated: NegotiatedDeflate, answer: String)? {
        for offer in offers where offer.name == Self.name {
            if let parameters = Parameters(offer, allowsUnlimitedClientWindow: true),
                let accepted = self.accept(parameters)
            {
                return accepted
            }
        }
        return nil
    }

    private func accept(_ offer: Parameters) -> (negotiated: NegotiatedDeflate, answer: String)? {
        var negotiated = NegotiatedDeflate()
        var answer = Self.name
        if offer.serverNoContextTakeover || self.serverNoContextTakeover {
            negotiated.serverNoContextTakeover = true
            answer += "; server_no_context_takeover"
        }
        if offer.clientNoContextTakeover || self.clientNoContextTakeover {
            negotiated.clientNoContextTakeover = true
            answer += "; client_no_context_takeover"
        }
        // zlib cannot compress with a window of 8 bits.
        if offer.serverWindowBits == 8 { return nil }
        negotiated.serverWindowBits = min(self.serverLimit, offer.serverWindowBits ?? 15)
        if offer.serverWindowBits != nil || self.serverLimit < 15 {
            answer += "; server_max_window_bits=\(negotiated.serverWindowBits)"
        }
        switch offer.clientWindowBits {
        case .limited(let bits):
            negotiated.clientWindowBits = min(self.clientLimit, bits)
            answer += "; client_max_window_bits=\(negotiated.clientWindowBits)"
        case .unlimited where self.clientLimit < 15:
            negotiated.clientWindowBits = self.clientLimit
            answer += "; client_max_window_bits=\(negotiated.clientWindowBits)"
        case .unlimited:
            break
        case nil:
            // Such a client cannot be asked for a smaller window.
            if self.clientLimit < 15 { return nil }
        }
        return (negotiated, answer)
    }

    /// The value of the client's Sec-WebSocket-Extensions.
    var offer: String {
        var offer = Self.name
        if self.serverNoContextTakeover { offer += "; server_no_context_takeover" }
        if self.clientNoContextTakeover { offer += "; client_no_context_takeover" }
        if self.serverLimit < 15 { offer += "; server_max_window_bits=\(self.serverLimit)" }
        offer += "; client_max_window_bits"
        if self.clientLimit < 15 { offer += "=\(self.clientLimit)" }
        return offer
    }

    /// What a server's answer to ``offer`` means. Nil when it is not an answer to it.
    func confirm(_ answer: ExtensionOffer) -> NegotiatedDeflate? {
        guard answer.name == Self.name,
            let parameters = Parameters(answer, allowsUnlimitedClientWindow: false)
        else { return nil }
        if self.serverNoContextTakeover, !parameters.serverNoContextTakeover { return nil }
        let serverWindowBits = parameters.serverWindowBits ?? 15
        guard serverWindowBits <= self.serverLimit else { return nil }
        var clientWindowBits = self.clientLimit
        if case .limited(let bits) = parameters.clientWindowBits {
            guard bits <= self.clientLimit else { return nil }
            clientWindowBits = bits
        }
        return NegotiatedDeflate(
            serverNoContextTakeover: parameters.serverNoContextTakeover,
            clientNoContextTakeover: parameters.clientNoContextTakeover || self.clientNoContextTakeover,
            serverWindowBits: serverWindowBits,
            clientWindowBits: clientWindowBits
        )
    }
}
