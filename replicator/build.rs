//! Generates client and server of the protocol between nodes. Its messages are Rust
//! (`src/net/wire.rs`): both ends are this program, and nobody needs a protoc.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let service = |name| Service::builder().name(name).package("gitmoor.v1");
    let node = service("Node")
        .method(
            method("send", "Send", "Message", "Received")
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
        .method(method("ask", "Ask", "Question", "Reply").build())
        .method(
            method("send_snapshot", "SendSnapshot", "SnapshotPiece", "Received")
                .client_streaming()
                .build(),
        );
    let clients = service("Clients").method(method("ask", "Ask", "Question", "Reply").build());
    let admission =
        service("Admission").method(method("join", "Join", "JoinRequest", "Admitted").build());
    Builder::new().compile(&[node.build(), clients.build(), admission.build()]);
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
