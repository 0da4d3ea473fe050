//! Documents of the server.

use crate::bindings::wxc::host::fetch;
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::error;

/// A text; `None` where the server has none of this name.
pub fn get(url: &str, limit: u32, age: u32) -> Result<Option<String>, Error> {
    let request = fetch::Request::new(url);
    request.set_limit(limit);
    request.accept_age(age);
    let response = request.send()?;
    match response.status() {
        200 => match String::from_utf8(response.body()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(error(ErrorKind::Integrity, format!("{url} is no text"))),
        },
        404 | 410 => Ok(None),
        status => Err(error(ErrorKind::Failed, format!("cannot fetch {url}: the server answered {status}"))),
    }
}
