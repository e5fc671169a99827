import Foundation
import NIOSSL

/// A certificate authority and a server's certificate, made by `openssl` for one test.
struct TestCertificates {
    let authority: NIOSSLCertificate
    let server: TLSConfiguration

    /// - Parameter names: what the certificate is for: `DNS:localhost,IP:127.0.0.1`.
    init(names: String) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "certificates-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }  // the system clears what is left
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        try Self.openssl(
            ["req", "-x509"] + key + ["-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test-ca"]
                + ["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
            in: directory
        )
        try Self.openssl(["req"] + key + ["-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=test"], in: directory)
        try "subjectAltName=\(names)\nbasicConstraints=CA:FALSE\n"
            .write(to: directory.appending(path: "extensions"), atomically: false, encoding: .utf8)
        try Self.openssl(
            ["x509", "-req", "-in", "s.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
                + ["-out", "s.crt", "-extfile", "extensions"],
            in: directory
        )
        let path = { (file: String) in directory.appending(path: file).path }
        guard let authority = try NIOSSLCertificate.fromPEMFile(path("ca.crt")).first else {
            throw Failure(arguments: ["ca.crt is empty"])
        }
        self.authority = authority
        self.server = .makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(path("s.crt")).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: path("s.key"), format: .pem))
        )
    }

    struct Failure: Error {
        let arguments: [String]
    }

    private static func openssl(_ arguments: [String], in directory: URL) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.currentDirectoryURL = directory
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw Failure(arguments: arguments) }
    }
}
