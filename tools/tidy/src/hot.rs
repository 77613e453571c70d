//! The connection record and the table that documents it name the same fields in the same order.

use crate::Finding;
use crate::files::SourceFile;

/// Where the record is.
const RECORD: &str = "engine/tcp/src/record.rs";
/// Where its table is.
const TABLE: &str = "engine/docs/hot.md";
/// Its cache lines.
const LINES: [&str; 3] = ["Identity", "HotRx", "HotTx"];

/// A field: of which line, its name, and where that stands.
type Field<'t> = (&'t str, &'t str, usize);

/// Compares the record with its table; nothing when one of them is not there.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(record), Some(table)) = (find(RECORD), find(TABLE)) else {
        return Vec::new();
    };
    let (fields, rows) = (fields(record), rows(table));
    for (field, row) in fields.iter().zip(&rows) {
        if (field.0, field.1) != (row.0, row.1) {
            let message = format!(
                "`{}`.`{}` is documented here, the record has `{}`.`{}`",
                row.0, row.1, field.0, field.1
            );
            return vec![Finding::new(TABLE, row.2, message)];
        }
    }
    let missing = fields.get(rows.len()..).unwrap_or(&[]);
    let gone = rows.get(fields.len()..).unwrap_or(&[]);
    let of_record = missing.iter().map(|field| {
        let message = format!("`{}`.`{}` is not in the table of {TABLE}", field.0, field.1);
        Finding::new(RECORD, field.2, message)
    });
    let of_table = gone.iter().map(|row| {
        let message = format!("`{}`.`{}` is not in the record", row.0, row.1);
        Finding::new(TABLE, row.2, message)
    });
    of_record.chain(of_table).collect()
}

/// The fields of the three structs.
fn fields(record: &SourceFile) -> Vec<Field<'_>> {
    let mut line = None;
    let mut fields = Vec::new();
    for (number, text) in record.lines() {
        if let Some(name) = text.strip_prefix("pub(crate) struct ") {
            let name = name.trim_end_matches(" {");
            line = LINES.contains(&name).then_some(name);
        } else if text == "}" {
            line = None;
        } else if let Some(line) = line
            && let Some((name, _)) = text
                .trim()
                .strip_prefix("pub(crate) ")
                .and_then(|rest| rest.split_once(':'))
        {
            fields.push((line, name, number));
        }
    }
    fields
}

/// The rows of the table: `` | `HotRx` | `rcv_nxt` | 4 | ... ``.
fn rows(table: &SourceFile) -> Vec<Field<'_>> {
    fn name(cell: Option<&str>) -> Option<&str> {
        cell?.trim().strip_prefix('`')?.strip_suffix('`')
    }
    let mut rows = Vec::new();
    for (number, text) in table.lines() {
        let mut cells = text.split('|').skip(1);
        if let Some((line, field)) = name(cells.next()).zip(name(cells.next())) {
            rows.push((line, field, number));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(record: &str, table: &str) -> Vec<String> {
        let files = [
            SourceFile::new(RECORD, record),
            SourceFile::new(TABLE, table),
        ];
        check(&files).iter().map(ToString::to_string).collect()
    }

    const RECORD_TEXT: &str = "pub(crate) struct HotRx {\n    /// RCV.NXT.\n    pub(crate) rcv_nxt: SeqNumber,\n    pub(crate) unread: u32,\n}\npub(crate) struct Other {\n    pub(crate) more: u32,\n}\n";

    #[test]
    fn the_same_fields_in_the_same_order_are_fine() {
        let table = "| line | field | bytes |\n|---|---|---|\n| `HotRx` | `rcv_nxt` | 4 |\n| `HotRx` | `unread` | 4 |\n";
        assert_eq!(findings(RECORD_TEXT, table), [""; 0]);
    }

    #[test]
    fn a_field_that_is_not_documented_or_not_there_is_found() {
        let short = "| `HotRx` | `rcv_nxt` | 4 |\n";
        assert_eq!(findings(RECORD_TEXT, short).len(), 1);
        let long =
            "| `HotRx` | `rcv_nxt` | 4 |\n| `HotRx` | `unread` | 4 |\n| `HotRx` | `gone` | 4 |\n";
        assert_eq!(findings(RECORD_TEXT, long).len(), 1);
        let other = "| `HotRx` | `unread` | 4 |\n| `HotRx` | `rcv_nxt` | 4 |\n";
        assert_eq!(findings(RECORD_TEXT, other).len(), 1);
    }
}
