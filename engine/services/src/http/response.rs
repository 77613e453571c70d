//! The head of a response, and the content after it.

use super::date;
use super::request::After;
use crate::Sink;

/// What `/` answers.
pub(super) const HELLO: &[u8] = b"Byway: past the kernel, on time.\n";

/// Room for the longest head and the longest text.
const ROOM: usize = 320;

/// Content of `/bytes/N`: 64 characters over and over, the last of them a line feed.
const PERIOD: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";
const BLOCK: usize = 16 * 1024;
static BLOCK_BYTES: [u8; BLOCK] = {
    let mut bytes = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        bytes[at] = PERIOD[at % PERIOD.len()];
        at += 1;
    }
    bytes
};

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    FieldsTooLarge,
}

impl Status {
    fn line(self) -> &'static [u8] {
        match self {
            Self::Ok => b"HTTP/1.1 200 OK\r\n",
            Self::BadRequest => b"HTTP/1.1 400 Bad Request\r\n",
            Self::NotFound => b"HTTP/1.1 404 Not Found\r\n",
            Self::MethodNotAllowed => b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n",
            Self::FieldsTooLarge => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        }
    }

    /// What a person reads when it is not `Ok`.
    pub(super) fn text(self) -> &'static [u8] {
        match self {
            Self::Ok => HELLO,
            Self::BadRequest => b"400: this is not a request\n",
            Self::NotFound => b"404: try / or /bytes/N, N up to 1073741824\n",
            Self::MethodNotAllowed => b"405: GET and HEAD are what there is\n",
            Self::FieldsTooLarge => b"431: the head of a request has 8 KiB and 64 fields at most\n",
        }
    }
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The text of the status.
    Text,
    /// So many generated octets.
    Bytes(u64),
}

/// A response on its way: what the sink did not take yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    /// Rest of the head and the text. Empty, and without memory, unless a sink was full.
    pending: Vec<u8>,
    /// Octets of generated content in all, and of those the ones still to go.
    generated: u64,
    remaining: u64,
}

impl Response {
    /// Starts a response; the one before is complete. Returns how many octets were sent.
    pub(super) fn start(
        &mut self,
        status: Status,
        content: Content,
        head_only: bool,
        after: After,
        date: &[u8; date::LENGTH],
        sink: &mut impl Sink,
    ) -> usize {
        let mut head = Text::default();
        head.push(status.line());
        head.push(b"Server: byway\r\nDate: ");
        head.push(date);
        head.push(match content {
            Content::Text => b"\r\nContent-Type: text/plain\r\nContent-Length: ".as_slice(),
            Content::Bytes(_) => b"\r\nContent-Type: application/octet-stream\r\nContent-Length: ",
        });
        head.push_number(match content {
            Content::Text => status.text().len() as u64,
            Content::Bytes(count) => count,
        });
        head.push(match after {
            After::Open => b"\r\n\r\n".as_slice(),
            After::OpenTold => b"\r\nConnection: keep-alive\r\n\r\n",
            After::Close => b"\r\nConnection: close\r\n\r\n",
        });
        (self.generated, self.remaining) = (0, 0);
        match content {
            _ if head_only => {}
            Content::Text => head.push(status.text()),
            Content::Bytes(count) => (self.generated, self.remaining) = (count, count),
        }
        let text = head.as_bytes();
        let taken = sink.send(text);
        self.pending.clear();
        self.pending
            .extend_from_slice(text.get(taken..).unwrap_or_default());
        taken + self.pump(sink)
    }

    /// Sends on; returns how many octets were sent.
    pub(super) fn pump(&mut self, sink: &mut impl Sink) -> usize {
        let mut sent = 0;
        if !self.pending.is_empty() {
            sent = sink.send(&self.pending);
            self.pending.drain(..sent);
        }
        while self.pending.is_empty() && self.remaining > 0 {
            let at = ((self.generated - self.remaining) % PERIOD.len() as u64) as usize;
            let length = ((BLOCK - at) as u64).min(self.remaining) as usize;
            let taken = sink.send(&BLOCK_BYTES[at..at + length]);
            sent += taken;
            self.remaining -= taken as u64;
            if taken < length {
                break;
            }
        }
        sent
    }

    /// Nothing is left to send.
    pub(super) fn is_complete(&self) -> bool {
        self.pending.is_empty() && self.remaining == 0
    }

    /// Forgets what is left, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.remaining = 0;
    }
}

/// A text put together without allocation.
struct Text {
    bytes: [u8; ROOM],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; ROOM],
            length: 0,
        }
    }
}

impl Text {
    fn push(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        self.bytes[self.length..end].copy_from_slice(part);
        self.length = end;
    }

    fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Buffer;

    const DATE: &[u8; date::LENGTH] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn a_response_in_full() {
        let mut sink = Buffer::new(1000);
        let mut response = Response::default();
        let sent = response.start(
            Status::Ok,
            Content::Text,
            false,
            After::Open,
            DATE,
            &mut sink,
        );
        let expected = format!(
            "HTTP/1.1 200 OK\r\nServer: byway\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}",
            HELLO.len(),
            String::from_utf8_lossy(HELLO)
        );
        assert_eq!(sink.text(), expected);
        assert_eq!(sent, expected.len());
        assert!(response.is_complete());
    }

    #[test]
    fn the_longest_head_has_room() {
        for status in [
            Status::Ok,
            Status::BadRequest,
            Status::NotFound,
            Status::MethodNotAllowed,
            Status::FieldsTooLarge,
        ] {
            for content in [Content::Text, Content::Bytes(u64::MAX)] {
                for after in [After::Open, After::OpenTold, After::Close] {
                    let mut sink = Buffer::new(0);
                    Response::default().start(status, content, false, after, DATE, &mut sink);
                }
            }
        }
    }

    #[test]
    fn a_narrow_sink_gets_the_same_octets() {
        let whole = |count| {
            let mut sink = Buffer::new(usize::MAX);
            let content = Content::Bytes(count);
            let mut response = Response::default();
            response.start(Status::Ok, content, false, After::Close, DATE, &mut sink);
            sink.bytes
        };
        let expected = whole(50_000);
        let mut sink = Buffer::new(0);
        let mut response = Response::default();
        let content = Content::Bytes(50_000);
        let mut sent = response.start(Status::Ok, content, false, After::Close, DATE, &mut sink);
        for room in [1, 7, 100, 63, 64, 65, 20_000, 1, 40_000] {
            assert!(!response.is_complete());
            sink.room = room;
            sent += response.pump(&mut sink);
        }
        assert!(response.is_complete());
        assert_eq!(sink.bytes, expected);
        assert_eq!(sent, expected.len());
        let body = &expected[expected.len() - 50_000..];
        assert!(body.starts_with(PERIOD));
        assert_eq!(body[64 * 700], b'0');
    }

    #[test]
    fn a_head_alone_has_the_length_of_the_content() {
        let mut sink = Buffer::new(1000);
        let mut response = Response::default();
        let content = Content::Bytes(77);
        response.start(Status::Ok, content, true, After::Open, DATE, &mut sink);
        assert!(sink.text().contains("Content-Length: 77\r\n"));
        assert!(sink.text().ends_with("\r\n\r\n"));
        assert!(response.is_complete());
    }
}
