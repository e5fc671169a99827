/// The files of the page, in the program itself, so that it can be moved without them.
package struct PageFile: Sendable {
    package let path: String
    package let contentType: String
    package let bytes: [UInt8]

    package static let all = [
        PageFile(path: "/", contentType: "text/html; charset=utf-8", bytes: PackageResources.index_html),
        PageFile(path: "/style.css", contentType: "text/css; charset=utf-8", bytes: PackageResources.style_css),
        Self.script("client", PackageResources.client_js),
        Self.script("cluster", PackageResources.cluster_js),
        Self.script("conversation", PackageResources.conversation_js),
        Self.script("dom", PackageResources.dom_js),
        Self.script("page", PackageResources.page_js),
        Self.script("websocket-connector", PackageResources.websocket_connector_js),
    ]

    private static func script(_ name: String, _ bytes: [UInt8]) -> PageFile {
        PageFile(path: "/\(name).js", contentType: "text/javascript; charset=utf-8", bytes: bytes)
    }
}
