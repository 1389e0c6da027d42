//! What pages load from this node: a style, a script, an icon. Each lies at an address with the hash
//! of its content, so that browsers keep it for good and a new version is fetched at once.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use shoal_protocol::id::ContentHash;
use std::sync::LazyLock;

/// What all assets' paths begin with.
pub(crate) const PREFIX: &str = "/assets/";

/// One of them.
pub(crate) struct Asset {
    /// Its address, from `/` on.
    pub(crate) path: String,
    kind: &'static str,
    content: &'static str,
}

pub(crate) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "page",
        "css",
        "text/css; charset=utf-8",
        include_str!("../assets/page.css"),
    )
});
pub(crate) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "page",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/page.js"),
    )
});
pub(crate) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "icon",
        "svg",
        "image/svg+xml",
        include_str!("../assets/icon.svg"),
    )
});

/// The asset at a path.
pub(crate) fn find(path: &str) -> Option<Response> {
    let asset = [&*STYLE, &*SCRIPT, &*ICON]
        .into_iter()
        .find(|asset| asset.path == path)?;
    Some(asset.answer())
}

impl Asset {
    fn new(name: &str, end: &str, kind: &'static str, content: &'static str) -> Self {
        let mut hash = ContentHash::of(content.as_bytes()).to_hex();
        hash.truncate(12);
        Self {
            path: format!("{PREFIX}{name}-{hash}.{end}"),
            kind,
            content,
        }
    }

    fn answer(&self) -> Response {
        let mut response = Response::new(Body::from(self.content));
        *response.status_mut() = StatusCode::OK;
        for (name, value) in [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; sandbox",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
