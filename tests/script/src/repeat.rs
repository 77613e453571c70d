//! Blocks of statements that are carried out several times.

/// Statements that a script may have when all is unrolled: a slip of the pen must not fill the memory.
const MOST: usize = 10_000;

/// A block that is being read.
struct Block<'a> {
    times: usize,
    /// Where `repeat` stands.
    at: usize,
    lines: Vec<(usize, &'a str)>,
}

/// The lines with their numbers, those between `repeat N` and `end` N times. In the n-th of them,
/// counted from 0, `A+Bn` stands for A + B * n.
///
/// # Errors
/// The number of a line and what is wrong there.
pub(crate) fn unrolled(text: &str) -> Result<Vec<(usize, String)>, (usize, String)> {
    let mut all = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut words = line.split(" #").next().unwrap_or(line).split_whitespace();
        match (words.next(), &mut open) {
            (Some("repeat"), None) => {
                let times = words.next().and_then(|word| word.parse().ok());
                let times = times.filter(|_| words.next().is_none());
                let times = times.ok_or((number, "`repeat` and a number".to_owned()))?;
                open = Some(Block {
                    times,
                    at: number,
                    lines: Vec::new(),
                });
            }
            (Some("repeat"), Some(_)) => {
                return Err((number, "there is a block in this block".to_owned()));
            }
            (Some("end"), _) => {
                let block = open.take();
                let block = block.ok_or((number, "`end` without `repeat`".to_owned()))?;
                unroll(&block, &mut all).map_err(|why| (block.at, why))?;
            }
            (_, Some(block)) => block.lines.push((number, line)),
            (_, None) => all.push((number, line.to_owned())),
        }
    }
    match open {
        Some(block) => Err((block.at, "`repeat` without `end`".to_owned())),
        None => Ok(all),
    }
}

fn unroll(block: &Block<'_>, all: &mut Vec<(usize, String)>) -> Result<(), String> {
    if block.times.saturating_mul(block.lines.len()) > MOST {
        return Err(format!("these are more than {MOST} statements"));
    }
    for n in 0..block.times {
        let lines = block.lines.iter();
        all.extend(lines.map(|(number, line)| (*number, stepped(line, n as i64))));
    }
    Ok(())
}

/// The line with the numbers of the n-th time.
fn stepped(line: &str, n: i64) -> String {
    let part = |part: &str| -> String {
        let sum = part.strip_suffix('n').and_then(|sum| sum.split_once('+'));
        let value = sum.and_then(|(base, step)| {
            let (base, step): (i64, i64) = (base.parse().ok()?, step.parse().ok()?);
            base.checked_add(step.checked_mul(n)?)
        });
        value.map_or_else(|| part.to_owned(), |value| value.to_string())
    };
    let word = |word: &str| word.split(':').map(part).collect::<Vec<_>>().join(":");
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_out_with_its_numbers() {
        let text = "one\nrepeat 2 # twice\nin ACK seq 1+10n:11+10n ack 5\n\nend\nlast";
        let lines = unrolled(text).unwrap();
        let expected = [
            (1, "one"),
            (3, "in ACK seq 1:11 ack 5"),
            (4, ""),
            (3, "in ACK seq 11:21 ack 5"),
            (4, ""),
            (6, "last"),
        ];
        let expected = expected.map(|(number, line)| (number, line.to_owned()));
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_no_step_stays() {
        for line in ["in SYN+ACK seq 0", "x+y 1+2 1+n 9999999999999999999+1n"] {
            assert_eq!(stepped(line, 3), line);
        }
        assert_eq!(stepped("sack 1+2n:2+2n -5+1n", 3), "sack 7:8 -2");
    }

    #[test]
    fn a_block_has_a_number_and_an_end() {
        for (text, line, part) in [
            ("a\nrepeat x\nend", 2, "a number"),
            ("repeat 2 3\nend", 1, "a number"),
            ("end", 1, "without `repeat`"),
            ("a\nrepeat 2\nb", 2, "without `end`"),
            ("repeat 2\nrepeat 2\nend", 2, "block in this block"),
            ("a\nrepeat 10001\nb\nend", 2, "more than 10000"),
        ] {
            let (at, why) = unrolled(text).unwrap_err();
            assert!(at == line && why.contains(part), "{at}: {why}");
        }
    }
}
