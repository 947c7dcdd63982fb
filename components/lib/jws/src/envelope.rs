//! Statements of the cloud, with what is stated in them: JWS in compact serialization (RFC 7515,
//! section 7.1).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The one algorithm in use: ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
pub const ES256: &str = "ES256";

/// Why something is no envelope, or not the one that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not three parts.
    #[error("it has not three parts between dots")]
    Parts,
    /// A part cannot be read.
    #[error("its {part}: {reason}")]
    Part {
        /// `header`, `payload` or `signature`.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Signed in another way.
    #[error("alg is {0:?}, not {ES256}")]
    Algorithm(String),
    /// Something else was signed.
    #[error("typ is {found:?}, not {expected}")]
    Type {
        /// In the header.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A certificate cannot be read.
    #[error("x5c: {0}")]
    Chain(String),
}

/// Exactly what the protected header holds, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeHeader {
    /// RFC 7515, section 4.1.1.
    pub alg: String,
    /// RFC 7515, section 4.1.9.
    pub typ: String,
    /// The signer's certificate, then what leads to the root (RFC 7515, section 4.1.6): DER in base64.
    pub x5c: Vec<String>,
}

impl EnvelopeHeader {
    /// Whether this is signed in the one way, and is of the type.
    pub fn check(&self, typ: &'static str) -> Result<(), EnvelopeError> {
        if self.alg != ES256 {
            return Err(EnvelopeError::Algorithm(self.alg.clone()));
        }
        if self.typ != typ {
            return Err(EnvelopeError::Type { found: self.typ.clone(), expected: typ });
        }
        Ok(())
    }

    /// The certificates, DER.
    pub fn chain(&self) -> Result<Vec<Vec<u8>>, EnvelopeError> {
        let chain = self.x5c.iter().map(|text| BASE64_STANDARD.decode(text));
        chain.collect::<Result<_, _>>().map_err(|error| EnvelopeError::Chain(error.to_string()))
    }
}

/// An envelope in its parts, before anything in it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// How it is signed, what it is, by whom.
    pub header: EnvelopeHeader,
    /// What is stated.
    pub payload: Vec<u8>,
    /// The two numbers of the signature, if it is one.
    pub signature: Vec<u8>,
    /// What is signed (RFC 7515, section 5.1).
    pub signed: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart. How long it may be is for the caller to say.
    pub fn parse(text: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(EnvelopeError::Parts);
        };
        let (signed, _) = text.split_at(header.len() + 1 + payload.len());
        Ok(Self {
            header: json_object("header", &decode("header", header)?)?,
            payload: decode("payload", payload)?,
            signature: decode("signature", signature)?,
            signed,
        })
    }

    /// The payload as the object that it should be.
    pub fn stated<'b, T: Deserialize<'b>>(&'b self) -> Result<T, EnvelopeError> {
        json_object("payload", &self.payload)
    }
}

fn decode(part: &'static str, text: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|error| EnvelopeError::Part { part, reason: error.to_string() })
}

/// An object and nothing else: serde takes a list of the fields for one as well.
fn json_object<'a, T: Deserialize<'a>>(
    part: &'static str,
    bytes: &'a [u8],
) -> Result<T, EnvelopeError> {
    let wrong = |reason: String| EnvelopeError::Part { part, reason };
    if bytes.first() != Some(&b'{') {
        return Err(wrong("not a JSON object".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))
}

/// An envelope of which only the signature is missing: whoever makes it holds no key.
#[derive(Clone, Debug)]
pub struct UnsignedEnvelope(String);

impl UnsignedEnvelope {
    /// Characters of the signature, with the dot before it.
    const SIGNATURE: usize = 87;

    /// Prepares a statement of a signer with this chain (DER, its own certificate first, without the
    /// root). `stated` becomes a JSON object.
    pub fn new<D: AsRef<[u8]>>(
        typ: &str,
        chain: &[D],
        stated: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let header = EnvelopeHeader {
            alg: ES256.to_owned(),
            typ: typ.to_owned(),
            x5c: chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect(),
        };
        let encode = |json: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(json);
        let (header, stated) = (serde_json::to_vec(&header)?, serde_json::to_vec(stated)?);
        Ok(Self(format!("{}.{}", encode(header), encode(stated))))
    }

    /// Bytes of the envelope, once it is signed.
    pub fn signed_length(&self) -> usize {
        self.0.len() + Self::SIGNATURE
    }

    /// The bytes that the signer's key has to sign.
    pub fn signing_input(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The envelope, with the two numbers of the signature (RFC 7518, section 3.4).
    pub fn sign(self, signature: &[u8; 64]) -> String {
        format!("{}.{}", self.0, BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TYPE: &str = "a-statement";

    fn envelope(header: &str, payload: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
    }

    #[test]
    fn what_was_made_is_read() {
        let chain = [b"signer".to_vec(), b"issuer".to_vec()];
        let unsigned = UnsignedEnvelope::new(TYPE, &chain, &json!({ "size": 7 })).unwrap();
        let (length, input) = (unsigned.signed_length(), unsigned.signing_input().to_vec());
        let text = unsigned.sign(&[9; 64]);
        assert_eq!(text.len(), length);
        let read = Envelope::parse(text.as_bytes()).unwrap();
        read.header.check(TYPE).unwrap();
        assert_eq!(read.header.chain().unwrap(), chain);
        assert_eq!((read.signed, read.signature.as_slice()), (&input[..], &[9; 64][..]));
        assert_eq!(read.stated::<Value>().unwrap(), json!({ "size": 7 }));
    }

    #[test]
    fn what_is_none_says_where() {
        const HEADER: &str = r#"{"alg":"ES256","typ":"a-statement","x5c":[]}"#;
        let good = envelope(HEADER, "{}");
        let read = |text: &str| {
            let envelope = Envelope::parse(text.as_bytes())?;
            envelope.header.check(TYPE)?;
            envelope.header.chain()?;
            envelope.stated::<Value>().map(drop)
        };
        assert_eq!(read(&good), Ok(()));
        let table = [
            ("it has not three parts between dots", String::new()),
            ("it has not three parts between dots", "a.b".to_owned()),
            ("it has not three parts between dots", format!("{good}.")),
            ("its header: not a JSON object", "..".to_owned()),
            ("its header: Invalid symbol 63", "?..".to_owned()),
            ("its header: not a JSON object", envelope(r#"["ES256","a-statement",[]]"#, "{}")),
            ("its header: missing field `x5c`", envelope(r#"{"alg":"ES256","typ":"x"}"#, "{}")),
            ("its header: unknown field `jwk`", envelope(r#"{"jwk":{}}"#, "{}")),
            ("alg is \"none\", not ES256", envelope(&HEADER.replace("ES256", "none"), "{}")),
            ("typ is \"JWT\", not a-statement", envelope(&HEADER.replace(TYPE, "JWT"), "{}")),
            ("x5c: ", envelope(&HEADER.replace("[]", r#"["?"]"#), "{}")),
            ("its payload: not a JSON object", envelope(HEADER, "[]")),
            ("its payload: EOF", envelope(HEADER, "{")),
            ("its signature: ", format!("{good}=")),
        ];
        for (part, text) in table {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.starts_with(part), "{part}: {error}");
        }
    }
}
