import CrossServer
import CrossServerRedis
import Logging
import NIOCore
import NIOPosix

// usage: BusLoad serve URL ENCODING
//        BusLoad requests URL ENCODING callback|async IN-FLIGHT SECONDS
//        BusLoad events|publish URL ENCODING SECONDS
//
// With --best-effort behind it messages are not numbered, kept and repeated.
//
// `serve` prints a line when it can be asked, and runs until it is killed. The others print what they measured as JSON.

LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
// As many as the original has.
NIOSingletons.groupLoopCountSuggestion = 1

let arguments = CommandLine.arguments.filter { $0 != "--best-effort" }
guard arguments.count >= 4 else { preconditionFailure("usage: see main.swift") }

var logger = Logger(label: "load")
logger.logLevel = .error
let mode = arguments[1]
let bus = try RedisBus(nodes: [RedisNode(arguments[2])], logger: logger)
var configuration = WebSocketCrossServerAdapter.Configuration()
configuration.cluster.encoding = arguments[3] == "json" ? .json : .messagePack
configuration.cluster.delivery = arguments.count < CommandLine.arguments.count ? .bestEffort : .ordered
let adapter = WebSocketCrossServerAdapter(
    serverName: mode == "serve" ? "answering" : "asking",
    bus: bus,
    configuration: configuration,
    logger: logger
)
let running = Task { try await adapter.run() }

switch (mode, arguments.dropFirst(4).first) {
case ("serve", _):
    try await serve(adapter)
    try await running.value
case ("requests", "callback"):
    let load = RequestLoad(adapter, inFlight: Int(arguments[5]) ?? 1, seconds: Double(arguments[6]) ?? 1)
    try await adapter.waitForBus()
    print(await load.runWithCallbacks())
case ("requests", _):
    let load = RequestLoad(adapter, inFlight: Int(arguments[5]) ?? 1, seconds: Double(arguments[6]) ?? 1)
    try await adapter.waitForBus()
    print(try await load.runWithTasks())
case (_, let seconds):
    try await adapter.waitForBus()
    let load = EventLoad(adapter, bus, seconds: Double(seconds ?? "") ?? 1, isHeard: mode == "events")
    print(try await load.run())
}
