//! The little of XML and SSDP that routers say, read by looking for names: no tree is built, so
//! nesting costs nothing.

/// The value of a header in an SSDP answer.
pub(super) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim())
    })
}

/// The type and control address of the first service that maps ports.
pub(super) fn service(description: &str) -> Option<(String, String)> {
    elements(description, "service").find_map(|service| {
        let kind = text(service, "serviceType")?;
        let control = text(service, "controlURL")?;
        let wanted = kind.starts_with("urn:schemas-upnp-org:service:WANIPConnection:")
            || kind.starts_with("urn:schemas-upnp-org:service:WANPPPConnection:");
        // The type goes into a header.
        let plain = kind
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
        (wanted && plain).then_some((kind, control))
    })
}

/// The text of the first element with this name.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    let inner = elements(xml, name).next()?;
    let end = inner.find('<').unwrap_or(inner.len());
    Some(unescape(inner.get(..end)?.trim()))
}

/// Escapes a text for use between tags.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// What stands between the tags of every element with this name, whatever its namespace; elements
/// within their own kind do not occur in what is read here.
fn elements<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let (tag, after) = next_tag(rest)?;
            rest = after;
            if local_name(tag) != name {
                continue;
            }
            if tag.ends_with('/') {
                return Some("");
            }
            let start = after;
            let mut inner = after;
            while let Some((tag, after)) = next_tag(inner) {
                if tag
                    .strip_prefix('/')
                    .is_some_and(|tag| local_name(tag) == name)
                {
                    rest = after;
                    let end = start.len() - after.len() - tag.len() - 2;
                    return start.get(..end);
                }
                inner = after;
            }
            return None;
        }
    })
}

/// What stands in the next pair of `<` and `>`, and what follows.
fn next_tag(xml: &str) -> Option<(&str, &str)> {
    let (_, from) = xml.split_once('<')?;
    from.split_once('>')
}

fn local_name(tag: &str) -> &str {
    let name = tag
        .split([' ', '\t', '\r', '\n', '/'])
        .next()
        .unwrap_or(tag);
    name.rsplit(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DESCRIPTION: &str = r#"<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
        <serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>
        <controlURL>/ctl/L3F</controlURL></service></serviceList><deviceList><device><serviceList><service>
        <serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType><SCPDURL/>
        <controlURL> /ctl/IPConn?a=1&amp;b=2 </controlURL></service></serviceList></device></deviceList></device></root>"#;

    #[test]
    fn the_service_that_maps_ports_is_found() {
        let found = service(DESCRIPTION);
        let kind = "urn:schemas-upnp-org:service:WANIPConnection:2".to_owned();
        assert_eq!(found, Some((kind, "/ctl/IPConn?a=1&b=2".to_owned())));
        assert_eq!(
            service(&DESCRIPTION.replace("WANIPConnection", "Other")),
            None
        );
        assert_eq!(
            service(&DESCRIPTION.replace("Connection:2", "Connection:2\r\nX: y")),
            None
        );
    }

    #[test]
    fn texts_are_found_in_any_namespace() {
        let fault = "<s:Fault><detail><u:UPnPError xmlns:u='x'><errorCode>718</errorCode></u:UPnPError></detail>";
        assert_eq!(text(fault, "errorCode").as_deref(), Some("718"));
        assert_eq!(text("<u:A x='1'>5</u:A>", "A").as_deref(), Some("5"));
        assert_eq!(text("<A/>", "A").as_deref(), Some(""));
        assert_eq!(text("<A>5", "A"), None);
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let answer = "HTTP/1.1 200 OK\r\nST: x\r\nLocation: http://192.168.1.1:5000/d.xml\r\n\r\n";
        assert_eq!(
            header(answer, "LOCATION"),
            Some("http://192.168.1.1:5000/d.xml")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(xml in "[<>/a: é]{0,60}") {
            let _ = text(&xml, "a");
            let _ = service(&xml);
            let _ = header(&xml, "a");
        }

        #[test]
        fn what_is_escaped_is_read_back(word in "[<>&a ]{1,20}") {
            let xml = format!("<a>{}</a>", escape(&word));
            prop_assert_eq!(text(&xml, "a"), Some(word.trim().to_owned()));
        }
    }
}
