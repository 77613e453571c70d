//! The head of a request: what is asked for, and how the connection goes on.

/// A head longer than this is refused.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Fields of a head; more are refused.
const MAX_FIELDS: usize = 64;
/// The most that `/bytes/N` gives: 1 GiB.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`
    Hello,
    /// `/bytes/N`
    Bytes(u64),
    /// Anything else.
    Unknown,
}

/// A well-formed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) after: After,
    /// Octets of content after the head, to be skipped.
    pub(super) content: u64,
}

/// How the connection goes on after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It stays open, as HTTP/1.1 does by itself.
    Open,
    /// It stays open, and an HTTP/1.0 client has to be told so.
    OpenTold,
    /// It is closed.
    Close,
}

/// What to do about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    /// One that we do not allow.
    Other,
}

/// What there is in a buffer of received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The head is not complete.
    Partial,
    /// A request, whose head is so many octets long.
    Complete(Request, usize),
    /// Not HTTP, or HTTP that RFC 9112 tells to refuse.
    Malformed,
    /// A head or a number of fields beyond the limit.
    TooLarge,
}

/// Reads the head at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let window = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    match head.parse(window) {
        Ok(httparse::Status::Complete(length)) => match read(&head) {
            Some(request) => Parsed::Complete(request, length),
            None => Parsed::Malformed,
        },
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => Parsed::TooLarge,
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => Parsed::TooLarge,
        Err(_) => Parsed::Malformed,
    }
}

/// What the fields of a complete head mean together; `None` when they contradict each other.
fn read(head: &httparse::Request<'_, '_>) -> Option<Request> {
    let (method, path, version) = (head.method?, head.path?, head.version?);
    let mut keep_alive = version >= 1;
    let mut content: Option<u64> = None;
    let mut chunked = false;
    let mut hosts = 0;
    for field in head.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("connection") {
            if has_token(field.value, b"close") {
                keep_alive = false;
            } else if version == 0 && has_token(field.value, b"keep-alive") {
                keep_alive = true;
            }
        } else if is("content-length") {
            let length = decimal(field.value.trim_ascii())?;
            // RFC 9112 §6.3: two lengths that differ are an error, not a choice.
            if content.is_some_and(|other| other != length) {
                return None;
            }
            content = Some(length);
        } else if is("transfer-encoding") {
            chunked = true;
        } else if is("host") {
            hosts += 1;
        }
    }
    // RFC 9112 §3.2: exactly one Host from HTTP/1.1 on. §6.1: a length and a coding smell of
    // request smuggling.
    if (version >= 1 && hosts != 1) || (chunked && content.is_some()) {
        return None;
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    // Where content in chunks ends is not worth finding out: answer, then close.
    let after = match (keep_alive && !chunked, version) {
        (false, _) => After::Close,
        (true, 0) => After::OpenTold,
        (true, _) => After::Open,
    };
    Some(Request {
        method,
        target: target(path),
        after,
        content: content.unwrap_or(0),
    })
}

/// True when the comma-separated list holds the token, in any case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&octet| octet == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

/// The path of an origin-form or absolute-form target (RFC 9112 §3.2), its query left out.
fn target(text: &str) -> Target {
    let path = match text.split_once("://") {
        Some((_, rest)) if !text.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => text,
    };
    let path = path.split('?').next().unwrap_or_default();
    if path == "/" {
        return Target::Hello;
    }
    match path
        .strip_prefix("/bytes/")
        .and_then(|number| decimal(number.as_bytes()))
    {
        Some(count) if count <= MAX_BYTES => Target::Bytes(count),
        _ => Target::Unknown,
    }
}

/// A number of decimal digits and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Complete(request, length) => {
                assert_eq!(length, text.len());
                request
            }
            other => panic!("{other:?} for {text:?}"),
        }
    }

    #[test]
    fn a_plain_get() {
        let request = complete("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(
            request,
            Request {
                method: Method::Get,
                target: Target::Hello,
                after: After::Open,
                content: 0
            }
        );
    }

    #[test]
    fn whether_the_connection_stays_open() {
        for (text, expected) in [
            ("GET / HTTP/1.0\r\n\r\n", After::Close),
            (
                "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
                After::OpenTold,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, CLOSE\r\n\r\n",
                After::Close,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
                After::Open,
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                After::Close,
            ),
        ] {
            assert_eq!(complete(text).after, expected, "{text:?}");
        }
    }

    #[test]
    fn targets() {
        for (text, expected) in [
            ("/", Target::Hello),
            ("/?a=b", Target::Hello),
            ("http://host:80/", Target::Hello),
            ("http://host", Target::Hello),
            ("/bytes/0", Target::Bytes(0)),
            ("/bytes/1073741824", Target::Bytes(MAX_BYTES)),
            ("/bytes/1073741825", Target::Unknown),
            ("/bytes/99999999999999999999", Target::Unknown),
            ("/bytes/", Target::Unknown),
            ("/bytes/-1", Target::Unknown),
            ("/x://y/", Target::Unknown),
            ("*", Target::Unknown),
        ] {
            assert_eq!(target(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
            "\0\0\0\0",
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Malformed, "{text:?}");
        }
    }

    #[test]
    fn heads_have_a_limit() {
        let with_field_of = |length: usize| {
            let start = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
            format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4))
        };
        let at_limit = with_field_of(MAX_HEAD);
        assert!(matches!(
            parse(at_limit.as_bytes()),
            Parsed::Complete(_, MAX_HEAD)
        ));
        let beyond = with_field_of(MAX_HEAD + 1);
        assert_eq!(parse(beyond.as_bytes()), Parsed::TooLarge);
        assert_eq!(parse(&at_limit.as_bytes()[..MAX_HEAD - 1]), Parsed::Partial);

        let with_fields = |count: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "A: b\r\n".repeat(count - 1)
            )
        };
        complete(&with_fields(MAX_FIELDS));
        assert_eq!(
            parse(with_fields(MAX_FIELDS + 1).as_bytes()),
            Parsed::TooLarge
        );
    }

    #[test]
    fn content_is_measured() {
        let request = complete("PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n");
        assert_eq!((request.method, request.content), (Method::Other, 12));
    }
}
