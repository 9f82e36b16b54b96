//! The suite of the adapters, on smol.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_adapter_suite::{adapter_suite, driver_adapter};

driver_adapter!(OnSmol, libp2p_proto_smol, smol::block_on, |acting| smol::spawn(
    acting
)
.detach());
adapter_suite!(OnSmol);
