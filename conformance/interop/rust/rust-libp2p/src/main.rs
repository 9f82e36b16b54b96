//! `rust-libp2p-peer`: rust-libp2p behind the interoperability command line.

fn main() -> std::process::ExitCode {
    interop_contract::main::<rust_libp2p_peer::node::Node>()
}
