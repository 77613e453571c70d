//! What the kernel tells about a connection, by `ss`: `TCP_INFO` in words.

use crate::script::{Figure, NO_THRESHOLD};
use std::process::Command;

/// A figure of the connection to this port of the peer; times in microseconds.
pub(super) fn figure(peer: u16, figure: Figure) -> Result<u64, String> {
    let filter = format!("dport = :{peer}");
    let arguments = ["-H", "-O", "-t", "-i", "-n", "-a", filter.as_str()];
    let output = Command::new("ss").args(arguments).output();
    let output = output.map_err(|why| format!("ss: {why}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().ok_or("the connection is gone")?;
    read(line, figure).ok_or_else(|| format!("the kernel does not tell: {line}"))
}

/// The figure in a line of `ss`, which leaves out what is zero or not known.
fn read(line: &str, figure: Figure) -> Option<u64> {
    let text = |key: &str| {
        let mut words = line.split_whitespace();
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix(':'))
    };
    let count = |key: &str| text(key).map_or(Some(0), |value| value.parse().ok());
    let segments = |key: &str| Some(count(key)? * count("mss")?);
    let micros = |value: &str| Some((value.parse::<f64>().ok()? * 1000.0).round() as u64);
    match figure {
        Figure::Srtt => micros(text("rtt")?.split('/').next()?),
        Figure::RttVar => micros(text("rtt")?.split('/').nth(1)?),
        Figure::MinRtt => micros(text("minrtt")?),
        Figure::Rto => micros(text("rto")?),
        Figure::BackOff => count("backoff"),
        Figure::Cwnd => segments("cwnd"),
        Figure::Ssthresh if text("ssthresh").is_none() => Some(NO_THRESHOLD),
        Figure::Ssthresh => segments("ssthresh"),
        Figure::Mss => count("mss"),
        Figure::InFlight => segments("unacked"),
        Figure::Sacked => segments("sacked"),
        Figure::Lost => segments("lost"),
        Figure::Unsent => count("notsent"),
        // Of two numbers, the second is of all that was ever sent again.
        Figure::Resent => match text("retrans") {
            Some(both) => both.split('/').nth(1)?.parse().ok(),
            None => Some(0),
        },
        Figure::Acknowledged => count("bytes_acked"),
        Figure::Received => count("bytes_received"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ESTAB 0 4000 10.77.0.1:7 10.77.0.2:40000 cubic wscale:7,7 rto:204 \
        backoff:1 rtt:20.5/10.25 mss:1000 pmtu:1500 cwnd:7 ssthresh:6 bytes_acked:501 \
        unacked:4 retrans:1/3 lost:2 sacked:1 notsent:77 minrtt:20.1";

    #[test]
    fn a_line_is_read() {
        for (figure, value) in [
            (Figure::Srtt, 20_500),
            (Figure::RttVar, 10_250),
            (Figure::MinRtt, 20_100),
            (Figure::Rto, 204_000),
            (Figure::BackOff, 1),
            (Figure::Cwnd, 7_000),
            (Figure::Ssthresh, 6_000),
            (Figure::InFlight, 4_000),
            (Figure::Lost, 2_000),
            (Figure::Sacked, 1_000),
            (Figure::Unsent, 77),
            (Figure::Resent, 3),
            (Figure::Acknowledged, 501),
            (Figure::Received, 0),
        ] {
            assert_eq!(read(LINE, figure), Some(value), "{figure:?}");
        }
        assert_eq!(read("ESTAB mss:9", Figure::Ssthresh), Some(NO_THRESHOLD));
        assert_eq!(read("ESTAB", Figure::Srtt), None);
    }
}
