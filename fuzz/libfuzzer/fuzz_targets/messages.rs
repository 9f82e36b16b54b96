#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libp2p_proto_fuzz::messages::run(data));
