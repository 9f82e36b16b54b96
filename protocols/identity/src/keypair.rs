//! Key pairs. Secrets are wiped on drop and have no `Debug`, no `Display` and no comparison.

use crate::{
    Error, KeyType, PublicKey,
    public_key::{decode_fields_of_any_length, encode_fields},
};
use alloc::{boxed::Box, string::String, vec::Vec};
use data_encoding::BASE64;
use ed25519_dalek::{self as ed25519, Signer as _};
use libp2p_proto_core::rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest private key that is read: RSA of 8192 bits has about 4 700 bytes.
const MAX_PRIVATE_KEY: usize = 8192;

/// A private key and its public half. What is secret is wiped when it is dropped, and has no way out but [`encode_protobuf`](Self::encode_protobuf).
///
/// ```compile_fail,E0277
/// let keys = libp2p_proto_identity::Keypair::ed25519_from_seed([0; 32]);
/// println!("{keys:?}");
/// ```
///
/// ```compile_fail,E0277
/// let keys = libp2p_proto_identity::Keypair::ed25519_from_seed([0; 32]);
/// println!("{keys}");
/// ```
///
/// ```compile_fail,E0369
/// let keys = libp2p_proto_identity::Keypair::ed25519_from_seed([0; 32]);
/// assert!(keys == keys);
/// ```
///
/// ```compile_fail,E0599
/// let keys = libp2p_proto_identity::Keypair::ed25519_from_seed([0; 32]);
/// let second = keys.clone();
/// ```
pub struct Keypair {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    Ed25519(Box<ed25519::SigningKey>),
    #[cfg(feature = "secp256k1")]
    Secp256k1(Box<k256::ecdsa::SigningKey>),
    #[cfg(feature = "ecdsa")]
    Ecdsa(Box<p256::ecdsa::SigningKey>),
    #[cfg(feature = "rsa-signing")]
    Rsa {
        keys: Box<aws_lc_rs::rsa::KeyPair>,
        pkcs1: Zeroizing<Vec<u8>>,
    },
}

/// Each variant's library wipes its own: dalek, k256 and p256 on drop, aws-lc when it frees.
impl ZeroizeOnDrop for Keypair {}

impl Keypair {
    /// The Ed25519 key of this seed (RFC 8032's private key).
    pub fn ed25519_from_seed(mut seed: [u8; 32]) -> Self {
        let secret = ed25519::SigningKey::from_bytes(&seed);
        seed.zeroize();
        let public = PublicKey::from_checked(KeyType::Ed25519, secret.verifying_key().as_bytes());
        Self {
            secret: Secret::Ed25519(Box::new(secret)),
            public,
        }
    }

    /// A new key from the caller's dice. RSA keys (2048 bits) take theirs from their own library, and need the feature `rsa-signing`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the type is not built in.
    pub fn generate(key_type: KeyType, rng: &mut impl CryptoRng) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        // A seed that is no scalar of the curve has a chance of about 2⁻³² for P-256 and 2⁻¹²⁸ for secp256k1.
        for _ in 0..64 {
            rng.fill_bytes(seed.as_mut());
            match key_type {
                KeyType::Ed25519 => return Ok(Self::ed25519_from_seed(*seed)),
                KeyType::Secp256k1 => match Self::secp256k1(seed.as_ref()) {
                    Err(Error::InvalidKey(_)) => {}
                    done => return done,
                },
                KeyType::Ecdsa => match Self::ecdsa_from_scalar(seed.as_ref()) {
                    Err(Error::InvalidKey(_)) => {}
                    done => return done,
                },
                KeyType::Rsa => return Self::generate_rsa(),
            }
        }
        Err(Error::InvalidKey(key_type))
    }

    /// Reads the protobuf of a private key, as go, js and rust write it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLarge`], [`Error::MalformedKey`], [`Error::UnknownKeyType`], [`Error::Unsupported`], [`Error::InvalidKey`], [`Error::KeyMismatch`].
    pub fn decode_protobuf(encoded: &[u8]) -> Result<Self, Error> {
        if encoded.len() > MAX_PRIVATE_KEY {
            return Err(Error::KeyTooLarge);
        }
        let (key_type, data) = decode_fields_of_any_length(encoded)?;
        match key_type {
            KeyType::Ed25519 => Self::ed25519_from_data(data),
            KeyType::Secp256k1 => Self::secp256k1(data),
            KeyType::Ecdsa => Self::ecdsa_from_sec1(data),
            KeyType::Rsa => Self::rsa_from_pkcs1(data),
        }
    }

    /// Reads the same protobuf in base 64, as in kubo's configuration (`Identity.PrivKey`).
    ///
    /// # Errors
    ///
    /// As [`decode_protobuf`](Self::decode_protobuf).
    pub fn decode_base64(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_PRIVATE_KEY * 2 {
            return Err(Error::KeyTooLarge);
        }
        let encoded = Zeroizing::new(
            BASE64
                .decode(text.trim().as_bytes())
                .map_err(|_| Error::MalformedKey)?,
        );
        Self::decode_protobuf(&encoded)
    }

    /// The protobuf of the private key.
    pub fn encode_protobuf(&self) -> Zeroizing<Vec<u8>> {
        let data = match &self.secret {
            Secret::Ed25519(secret) => Zeroizing::new(Zeroizing::new(secret.to_keypair_bytes()).to_vec()),
            #[cfg(feature = "secp256k1")]
            Secret::Secp256k1(secret) => Zeroizing::new(Zeroizing::new(secret.to_bytes()).to_vec()),
            #[cfg(feature = "ecdsa")]
            Secret::Ecdsa(secret) => ecdsa_sec1(secret),
            #[cfg(feature = "rsa-signing")]
            Secret::Rsa { pkcs1, .. } => pkcs1.clone(),
        };
        Zeroizing::new(encode_fields(self.public.key_type(), &data))
    }

    /// The protobuf of the private key in base 64.
    pub fn encode_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.encode_protobuf()))
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message. Ed25519, secp256k1 (low S) and ECDSA signatures are deterministic.
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`] if the library refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.secret {
            Secret::Ed25519(secret) => Ok(secret.sign(message).to_bytes().to_vec()),
            #[cfg(feature = "secp256k1")]
            Secret::Secp256k1(secret) => {
                let signature: k256::ecdsa::Signature =
                    secret.try_sign(message).map_err(|_| Error::SigningFailed)?;
                Ok(signature.normalize_s().to_der().as_bytes().to_vec())
            }
            #[cfg(feature = "ecdsa")]
            Secret::Ecdsa(secret) => {
                let signature: p256::ecdsa::Signature =
                    secret.try_sign(message).map_err(|_| Error::SigningFailed)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            #[cfg(feature = "rsa-signing")]
            Secret::Rsa { keys, .. } => rsa_sign(keys, message),
        }
    }

    /// 64 bytes (seed, public), or 96 (seed, public, public) as old versions of go wrote.
    fn ed25519_from_data(data: &[u8]) -> Result<Self, Error> {
        let bad = Error::InvalidKey(KeyType::Ed25519);
        let (seed, publics) = data.split_first_chunk::<32>().ok_or(bad.clone())?;
        if publics.len() != 32 && publics.len() != 64 {
            return Err(bad);
        }
        let keys = Self::ed25519_from_seed(*seed);
        let own = keys.public.data();
        if publics.chunks(32).all(|public| public == own) {
            Ok(keys)
        } else {
            Err(Error::KeyMismatch)
        }
    }

    #[cfg(feature = "secp256k1")]
    fn secp256k1(scalar: &[u8]) -> Result<Self, Error> {
        let bad = Error::InvalidKey(KeyType::Secp256k1);
        if scalar.len() != 32 {
            return Err(bad);
        }
        let secret = k256::ecdsa::SigningKey::from_slice(scalar).map_err(|_| bad)?;
        let public = PublicKey::from_checked(
            KeyType::Secp256k1,
            secret.verifying_key().to_sec1_point(true).as_bytes(),
        );
        Ok(Self {
            secret: Secret::Secp256k1(Box::new(secret)),
            public,
        })
    }

    #[cfg(not(feature = "secp256k1"))]
    const fn secp256k1(_: &[u8]) -> Result<Self, Error> {
        Err(Error::Unsupported(KeyType::Secp256k1))
    }

    #[cfg(feature = "ecdsa")]
    fn ecdsa_from_scalar(scalar: &[u8]) -> Result<Self, Error> {
        let bad = Error::InvalidKey(KeyType::Ecdsa);
        if scalar.len() != 32 {
            return Err(bad);
        }
        let secret = p256::ecdsa::SigningKey::from_slice(scalar).map_err(|_| bad)?;
        let mut spki = Vec::from(crate::public_key::P256_SPKI);
        spki.extend_from_slice(secret.verifying_key().to_sec1_point(false).as_bytes());
        let public = PublicKey::from_checked(KeyType::Ecdsa, &spki);
        Ok(Self {
            secret: Secret::Ecdsa(Box::new(secret)),
            public,
        })
    }

    /// SEC1 `ECPrivateKey`: what every implementation writes, although the specification's text says PKIX.
    #[cfg(feature = "ecdsa")]
    fn ecdsa_from_sec1(data: &[u8]) -> Result<Self, Error> {
        use crate::der;
        let bad = Error::InvalidKey(KeyType::Ecdsa);
        let mut fields = der::read_all(data, der::SEQUENCE).ok_or(bad.clone())?;
        let version = der::read(&mut fields, der::INTEGER);
        let scalar = der::read(&mut fields, der::OCTET_STRING);
        // `[0]` names the curve, `[1]` repeats the public key; either may be missing.
        let curve = der::read(&mut fields, 0xa0);
        let public = der::read(&mut fields, 0xa1);
        let (Some([1]), Some(scalar), []) = (version, scalar, fields) else {
            return Err(bad);
        };
        if curve.is_some_and(|curve| der::read_all(curve, der::OBJECT_IDENTIFIER) != Some(&der::P256)) {
            return Err(Error::UnsupportedCurve);
        }
        let keys = Self::ecdsa_from_scalar(scalar)?;
        // The bit string as it stands in the `SubjectPublicKeyInfo`, with its count of unused bits.
        let own = keys.public.data().get(25..);
        if public.is_some_and(|public| der::read_all(public, der::BIT_STRING) != own) {
            return Err(Error::KeyMismatch);
        }
        Ok(keys)
    }

    #[cfg(not(feature = "ecdsa"))]
    const fn ecdsa_from_scalar(_: &[u8]) -> Result<Self, Error> {
        Err(Error::Unsupported(KeyType::Ecdsa))
    }

    #[cfg(not(feature = "ecdsa"))]
    const fn ecdsa_from_sec1(_: &[u8]) -> Result<Self, Error> {
        Err(Error::Unsupported(KeyType::Ecdsa))
    }

    /// A new RSA key of 2048 bits.
    #[cfg(feature = "rsa-signing")]
    fn generate_rsa() -> Result<Self, Error> {
        use aws_lc_rs::{
            encoding::{AsDer, Pkcs8V1Der},
            rsa::{KeyPair, KeySize},
        };
        let failed = Error::Unsupported(KeyType::Rsa);
        let keys = KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed.clone())?;
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&keys).map_err(|_| failed.clone())?;
        let pkcs1 = Zeroizing::new(pkcs1_of_pkcs8(pkcs8.as_ref()).ok_or(failed)?.to_vec());
        Self::rsa_from_pkcs1(&pkcs1)
    }

    #[cfg(feature = "rsa-signing")]
    fn rsa_from_pkcs1(pkcs1: &[u8]) -> Result<Self, Error> {
        use aws_lc_rs::signature::KeyPair as _;
        let keys = aws_lc_rs::rsa::KeyPair::from_der(pkcs1).map_err(|_| Error::InvalidKey(KeyType::Rsa))?;
        let public = PublicKey::from_data(KeyType::Rsa, &crate::rsa_key::spki(keys.public_key().as_ref()))?;
        Ok(Self {
            secret: Secret::Rsa {
                keys: Box::new(keys),
                pkcs1: Zeroizing::new(pkcs1.to_vec()),
            },
            public,
        })
    }

    #[cfg(not(feature = "rsa-signing"))]
    const fn generate_rsa() -> Result<Self, Error> {
        Err(Error::Unsupported(KeyType::Rsa))
    }

    #[cfg(not(feature = "rsa-signing"))]
    const fn rsa_from_pkcs1(_: &[u8]) -> Result<Self, Error> {
        Err(Error::Unsupported(KeyType::Rsa))
    }
}

#[cfg(feature = "ecdsa")]
fn ecdsa_sec1(secret: &p256::ecdsa::SigningKey) -> Zeroizing<Vec<u8>> {
    use crate::der;
    let mut bits = Vec::from([0]);
    bits.extend_from_slice(secret.verifying_key().to_sec1_point(false).as_bytes());
    let (mut curve, mut public) = (Vec::new(), Vec::new());
    der::write(der::OBJECT_IDENTIFIER, &der::P256, &mut curve);
    der::write(der::BIT_STRING, &bits, &mut public);
    // With room for the whole, so that nothing secret is left behind by growing.
    let mut fields = Zeroizing::new(Vec::with_capacity(128));
    let mut out = Zeroizing::new(Vec::with_capacity(128));
    der::write(der::INTEGER, &[1], &mut fields);
    der::write(der::OCTET_STRING, &Zeroizing::new(secret.to_bytes()), &mut fields);
    der::write(0xa0, &curve, &mut fields);
    der::write(0xa1, &public, &mut fields);
    der::write(der::SEQUENCE, &fields, &mut out);
    out
}

#[cfg(feature = "rsa-signing")]
fn rsa_sign(keys: &aws_lc_rs::rsa::KeyPair, message: &[u8]) -> Result<Vec<u8>, Error> {
    use aws_lc_rs::{rand::SystemRandom, signature::RSA_PKCS1_SHA256};
    let mut signature = alloc::vec![0; keys.public_modulus_len()];
    // PKCS#1 v1.5 signatures use no randomness; the library blinds with its own.
    keys.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| Error::SigningFailed)?;
    Ok(signature)
}

/// The PKCS#1 key inside of a PKCS#8 one.
#[cfg(feature = "rsa-signing")]
fn pkcs1_of_pkcs8(pkcs8: &[u8]) -> Option<&[u8]> {
    use crate::der;
    let mut fields = der::read_all(pkcs8, der::SEQUENCE)?;
    der::read(&mut fields, der::INTEGER)?;
    der::read(&mut fields, der::SEQUENCE)?;
    der::read(&mut fields, der::OCTET_STRING)
}
