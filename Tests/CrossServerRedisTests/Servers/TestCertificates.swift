import Foundation

/// A certificate authority, a server's certificate for localhost and a client's, made by `openssl` for one test.
final class TestCertificates {
    private let directory: URL

    init() throws {
        self.directory = FileManager.default.temporaryDirectory.appending(path: "redis-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        try self.openssl(
            ["req", "-x509"] + key + ["-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test-ca"]
                + ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        )
        for name in ["server", "client"] {
            try self.openssl(["req"] + key + ["-keyout", "\(name).key", "-out", "\(name).csr", "-subj", "/CN=\(name)"])
            try "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
                .write(to: self.directory.appending(path: "extensions"), atomically: false, encoding: .utf8)
            try self.openssl(
                ["x509", "-req", "-in", "\(name).csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
                    + ["-days", "2", "-extfile", "extensions", "-out", "\(name).crt"]
            )
        }
    }

    deinit {
        // What cannot be removed is left to the system, which clears its temporary directory.
        try? FileManager.default.removeItem(at: self.directory)
    }

    func file(_ name: String) -> String { self.directory.appending(path: name).path }

    private func openssl(_ arguments: [String]) throws {
        try Programs.run("openssl", arguments, in: self.directory)
    }
}
