//! Identity keys of every type.

use interop_contract::{Failure, Key, Options, Outcome};
use libp2p::identity::{Keypair, ecdsa, secp256k1};
use rsa::pkcs8::EncodePrivateKey as _;

/// The identity that the command line asks for.
pub fn keypair(options: &Options) -> Outcome<Keypair> {
    if let Some(seed) = options.seed {
        return Keypair::ed25519_from_bytes(seed).map_err(|error| Failure::of(&error));
    }
    match options.key {
        Key::Ed25519 => Ok(Keypair::generate_ed25519()),
        Key::Secp256k1 => Ok(secp256k1::Keypair::generate().into()),
        Key::Ecdsa => Ok(ecdsa::Keypair::generate().into()),
        Key::Rsa => {
            // rust-libp2p reads RSA keys but does not make them.
            let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)
                .map_err(|error| Failure::of(&error))?;
            let der = key.to_pkcs8_der().map_err(|error| Failure::of(&error))?;
            Keypair::rsa_from_pkcs8(&mut der.as_bytes().to_vec()).map_err(|error| Failure::of(&error))
        }
    }
}
