//! Generates client and server of the protocol between nodes. Its messages are Rust
//! (`src/net/wire.rs`): both ends are this program, and nobody needs a protoc. The paths of all
//! methods go into `rpcs.rs`: a test compares them with those that `src/net/method.rs` has a line for.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};
use tonic_build::{Method as _, Service as _};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let service = |name| Service::builder().name(name).package("gitmoor.v1");
    let node = service("Node")
        .method(
            method("send", "Send", "PeerMessage", "Empty")
                .client_streaming()
                .build(),
        )
        .method(
            method(
                "has_snapshot",
                "HasSnapshot",
                "SnapshotName",
                "SnapshotOffset",
            )
            .build(),
        )
        .method(method("ask", "Ask", "AskRequest", "AskResponse").build())
        .method(
            method("send_snapshot", "SendSnapshot", "SnapshotPiece", "Empty")
                .client_streaming()
                .build(),
        );
    let clients =
        service("Clients").method(method("ask", "Ask", "AskRequest", "AskResponse").build());
    let admission =
        service("Admission").method(method("join", "Join", "JoinRequest", "Admitted").build());
    let services = [node.build(), clients.build(), admission.build()];
    declare(&services);
    Builder::new().compile(&services);
}

fn declare(services: &[Service]) {
    let paths = services.iter().flat_map(|service| {
        let name = format!("/{}.{}", service.package(), service.name());
        let methods = service.methods().iter();
        methods.map(move |method| format!("{name}/{}", method.identifier()))
    });
    let paths: Vec<_> = paths.collect();
    let text = format!("const DECLARED: [&str; {}] = {paths:?};\n", paths.len());
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    std::fs::write(std::path::Path::new(&out).join("rpcs.rs"), text).expect("OUT_DIR is ours");
}

fn method(name: &str, route: &str, input: &str, output: &str) -> MethodBuilder {
    let wire = |message| format!("crate::net::wire::{message}");
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(wire(input))
        .output_type(wire(output))
        .codec_path("tonic_prost::ProstCodec")
}
