//! The text of a link, in either of its forms.

use crate::capability::{Capability, CapabilityError};
use crate::id::{IdError, LinkId};
use crate::limits::LINK_MAX_BYTES;
use crate::magnet::{Magnet, MagnetError};

/// A link as somebody pasted it.
#[derive(Debug, Clone)]
pub enum Link {
    /// `http[s]://host[:port]/s/<link id>`.
    Web(WebLink),
    /// `magnet:?...`, with or without a capability.
    Magnet(Box<MagnetLink>),
}

/// The web address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebLink {
    /// `http://host:port`, no slash at the end.
    pub origin: String,
    /// The link.
    pub id: LinkId,
}

/// A magnet, and what its `x.shoal` says.
#[derive(Debug, Clone)]
pub struct MagnetLink {
    /// The magnet.
    pub magnet: Magnet,
    /// Verified, where there is one.
    pub capability: Option<SignedCapability>,
}

/// A capability with the bytes that were signed.
#[derive(Debug, Clone)]
pub struct SignedCapability {
    /// What it says.
    pub capability: Capability,
    /// Signed bytes.
    pub bytes: Vec<u8>,
}

/// Why a text is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Neither form.
    #[error("this is no link: it starts with http://, https:// or magnet:?")]
    Scheme,
    /// Too long.
    #[error("this link is too long to be one")]
    Long,
    /// A web address without `/s/<id>`.
    #[error("this web address is no share link: it has the form http://host:port/s/<id>")]
    Web,
    /// The id in it is broken.
    #[error("the id in this link is broken ({0}): copy the whole link again")]
    Id(IdError),
    /// No magnet.
    #[error(transparent)]
    Magnet(#[from] MagnetError),
    /// The capability in it was changed.
    #[error("the capability in this link is not valid ({0}): copy the whole link again")]
    Capability(#[from] CapabilityError),
}

impl Link {
    /// Reads either form; white space around it is ignored.
    ///
    /// # Errors
    /// See [`LinkError`]; each says what to do.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > LINK_MAX_BYTES {
            return Err(LinkError::Long);
        }
        let scheme = text
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("magnet") => Self::parse_magnet(text),
            Some("http" | "https") => parse_web(text).map(Link::Web),
            _ => Err(LinkError::Scheme),
        }
    }

    fn parse_magnet(text: &str) -> Result<Self, LinkError> {
        let magnet = Magnet::parse(text)?;
        let capability = match &magnet.shoal {
            None => None,
            Some(text) => {
                let bytes = Capability::from_text(text)?;
                Some(SignedCapability {
                    capability: Capability::verify(&bytes)?,
                    bytes,
                })
            }
        };
        Ok(Link::Magnet(Box::new(MagnetLink { magnet, capability })))
    }
}

impl WebLink {
    /// The address of the link's page.
    pub fn url(&self) -> String {
        format!("{}/s/{}", self.origin, self.id)
    }
}

fn parse_web(text: &str) -> Result<WebLink, LinkError> {
    let (scheme, rest) = text.split_once("://").ok_or(LinkError::Web)?;
    let rest = rest.split(['#', '?']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/').ok_or(LinkError::Web)?;
    if host.is_empty()
        || host
            .bytes()
            .any(|b| b <= b' ' || b == b'@' || b == b'\\' || b == 0x7f)
    {
        return Err(LinkError::Web);
    }
    let id = path.strip_prefix("s/").ok_or(LinkError::Web)?;
    let id = id.split('/').next().unwrap_or(id);
    let id = id.to_ascii_lowercase().parse().map_err(LinkError::Id)?;
    Ok(WebLink {
        origin: format!("{}://{host}", scheme.to_ascii_lowercase()),
        id,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn web_addresses() {
        let id = LinkId([5; 16]);
        for text in [
            format!("http://192.0.2.1:7462/s/{id}"),
            format!(
                " HTTP://192.0.2.1:7462/s/{}/ \n",
                id.to_string().to_uppercase()
            ),
            format!("http://192.0.2.1:7462/s/{id}?x#y"),
        ] {
            match Link::parse(&text).unwrap() {
                Link::Web(web) => assert_eq!(
                    web,
                    WebLink {
                        origin: "http://192.0.2.1:7462".into(),
                        id
                    }
                ),
                Link::Magnet(_) => panic!("{text}"),
            }
        }
    }

    #[test]
    fn what_is_no_link_says_so() {
        assert_eq!(Link::parse("hello").unwrap_err(), LinkError::Scheme);
        assert_eq!(Link::parse("ftp://a/s/b").unwrap_err(), LinkError::Scheme);
        assert_eq!(Link::parse("http://a/b").unwrap_err(), LinkError::Web);
        assert_eq!(Link::parse("http://u@a/s/b").unwrap_err(), LinkError::Web);
        assert!(matches!(
            Link::parse("http://a/s/b").unwrap_err(),
            LinkError::Id(_)
        ));
        assert_eq!(
            Link::parse(&format!("magnet:?{}", "x".repeat(20_000))).unwrap_err(),
            LinkError::Long
        );
    }
}
