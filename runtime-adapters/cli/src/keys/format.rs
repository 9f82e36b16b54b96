//! The formats in which implementations keep private keys.

use data_encoding::BASE64;
use libp2p_proto_identity::Keypair;
use serde::Deserialize;
use serde_json::json;
use std::str::FromStr;
use zeroize::Zeroizing;

/// A format of key files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The bare protobuf: go, rust, js.
    Protobuf,
    /// The protobuf in base 64, on a line.
    Base64,
    /// kubo's configuration, as far as it concerns the identity.
    Kubo,
    /// js-libp2p's object.
    Js,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "protobuf" => Self::Protobuf,
            "base64" => Self::Base64,
            "kubo" => Self::Kubo,
            "js" => Self::Js,
            _ => return Err(String::from("there are protobuf, base64, kubo, js")),
        })
    }
}

impl Format {
    /// A private key in this format.
    pub(crate) fn encode(self, keys: &Keypair) -> Zeroizing<Vec<u8>> {
        let (base64, id) = (keys.encode_base64(), keys.public().peer_id().to_string());
        let text = match self {
            Self::Protobuf => return keys.encode_protobuf(),
            Self::Base64 => base64.to_string(),
            Self::Kubo => json!({ "Identity": { "PeerID": id, "PrivKey": *base64 } }).to_string(),
            Self::Js => {
                let public = BASE64.encode(keys.public().encode());
                json!({ "id": id, "privKey": *base64, "pubKey": public }).to_string()
            }
        };
        let mut bytes = Zeroizing::new(text.into_bytes());
        bytes.push(b'\n');
        bytes
    }
}

/// What of a JSON file concerns a key: kubo's configuration, or js-libp2p's object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Json {
    Kubo {
        #[serde(rename = "Identity")]
        identity: KuboIdentity,
    },
    Js {
        id: Option<String>,
        #[serde(rename = "privKey")]
        private: String,
    },
}

#[derive(Deserialize)]
struct KuboIdentity {
    #[serde(rename = "PeerID")]
    id: Option<String>,
    #[serde(rename = "PrivKey")]
    private: String,
}

/// Reads a private key in whichever format it is.
pub(crate) fn decode(bytes: &[u8]) -> Result<Keypair, String> {
    let text = std::str::from_utf8(bytes).map(str::trim).unwrap_or_default();
    if text.starts_with('{') {
        return decode_json(text);
    }
    if text.starts_with("-----BEGIN") {
        let way_out =
            "a PEM file is not read; kubo exports with `ipfs key export --format=libp2p-protobuf-cleartext`";
        return Err(String::from(way_out));
    }
    let is_base64 = text.len() > 4
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    if is_base64 {
        return Keypair::decode_base64(text).map_err(|error| error.to_string());
    }
    Keypair::decode_protobuf(bytes)
        .map_err(|error| format!("neither a private key in protobuf, nor base 64, nor JSON: {error}"))
}

fn decode_json(text: &str) -> Result<Keypair, String> {
    let json: Json = serde_json::from_str(text).map_err(|_| {
        String::from("JSON without a key: neither Identity.PrivKey (kubo) nor privKey (js) is there")
    })?;
    let (id, private) = match json {
        Json::Kubo { identity } => (identity.id, identity.private),
        Json::Js { id, private } => (id, private),
    };
    let keys = Keypair::decode_base64(&Zeroizing::new(private)).map_err(|error| error.to_string())?;
    let own = keys.public().peer_id();
    match id {
        Some(id) if id.parse() != Ok(own) => Err(format!("the key is that of {own}, not of {id}")),
        _ => Ok(keys),
    }
}
