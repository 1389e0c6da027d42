//! Signatures of webhooks, as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time and body.

use crate::error::NodeError;
use crate::home::Home;
use crate::identity::{Identity, fill_random};
use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;

/// The header names of the standard.
pub(super) const ID: &str = "webhook-id";
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";

const SECRET_DOMAIN: &str = "shoal 2026 webhook secret v1";

/// What the notices of a home are signed with. It follows from the device's key, so that there is nothing to keep.
pub(crate) struct Secret([u8; 32]);

/// The secret of a home as its receivers take it: `whsec_` and base64.
///
/// # Errors
/// As the start of a node: the device's key is made here if there is none.
pub fn webhook_secret(home: &Home) -> Result<String, NodeError> {
    crate::node::make_private_dir(home.data_dir())?;
    let identity = Identity::load_or_create(home)?;
    Ok(format!("whsec_{}", BASE64.encode(&Secret::of(&identity).0)))
}

impl Secret {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self(blake3::derive_key(SECRET_DOMAIN, &identity.key.to_bytes()))
    }

    /// The value of the signature's header.
    pub(super) fn sign(&self, id: &str, at_s: u64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let signature = hmac::sign(&key, format!("{id}.{at_s}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(signature.as_ref()))
    }
}

/// An id by which a receiver knows a notice that comes twice.
pub(super) fn message_id() -> Option<String> {
    let mut random = [0; 12];
    fill_random(&mut random).ok()?;
    Some(format!("msg_{}", HEXLOWER.encode(&random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    #[test]
    fn the_standards_example() {
        let mut key = [0; 32];
        let secret = BASE64
            .decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .unwrap_or_default();
        // HMAC pads short keys with zeros: 24 bytes and eight zeros are the same key.
        key.iter_mut()
            .zip(&secret)
            .for_each(|(to, from)| *to = *from);
        let signature = Secret(key).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
