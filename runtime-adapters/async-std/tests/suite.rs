//! The suite of the adapters, on async-std.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_adapter_suite::{adapter_suite, driver_adapter};

driver_adapter!(
    OnAsyncStd,
    libp2p_proto_async_std,
    async_std::task::block_on,
    async_std::task::spawn
);
adapter_suite!(OnAsyncStd);
