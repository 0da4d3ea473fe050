//! What is sent, and what an answer means.

use happenings::contract::wxc::hook::types::Context;
use happenings::contract::wxc::host::types::{Error, ErrorKind};
use happenings::{document, line};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What `notify` takes.
const LONGEST: usize = 256 << 10;

/// The body.
pub fn body(context: &Context) -> String {
    line(&document(context), LONGEST)
}

/// The signature of a body (RFC 2104, with SHA-256), written as receivers of such messages know it.
pub fn signature(secret: &str, body: &[u8]) -> String {
    // A key may have any length.
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    hmac.update(body);
    let digits: String = hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// Whether the server took it.
pub fn judge(status: u16) -> Result<(), Error> {
    match status {
        200..=299 => Ok(()),
        _ => Err(Error {
            kind: ErrorKind::Failed,
            message: format!("the server answered {status} and not 2xx"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        // RFC 4231, test case 2.
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // Test case 6: a key that is longer than a block; its bytes are no text there, so only that it does not fail.
        assert_eq!(signature(&"k".repeat(131), b"x").len(), "sha256=".len() + 64);
    }

    #[test]
    fn only_2xx_is_taken() {
        assert!(judge(200).is_ok() && judge(204).is_ok());
        for status in [199, 301, 404, 500] {
            assert!(judge(status).unwrap_err().message.contains(&status.to_string()));
        }
    }
}
