//! The map for people and for programs.

use crate::branches::Decider;
use crate::map::{Map, Problem, Requirement, RfcMap, State};
use crate::scan::Names;
use crate::spec::Level;
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// How much [`table`] prints below the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Only the counts.
    Counts,
    /// What is open, excepted or untested.
    Missing,
    /// Every requirement, with the places that name it.
    All,
}

/// The way from the branches of input processing to their clauses and tests: each function that has
/// one, what it names, and the tests that show it.
pub fn branches(map: &Map) -> String {
    let mut out = String::new();
    for decider in &map.deciders {
        // Writing to a string cannot fail.
        let _ = write_decider(&mut out, map, decider);
    }
    let exempt = map.deciders.iter().filter(|one| one.exempt.is_some());
    let (all, exempt) = (map.deciders.len(), exempt.count());
    let _ = writeln!(
        out,
        "{all} functions with a branch, {exempt} of them exempt"
    );
    out
}

fn write_decider(out: &mut String, map: &Map, decider: &Decider) -> fmt::Result {
    writeln!(out, "{} {}", decider.place, decider.name)?;
    if let Some(why) = &decider.exempt {
        writeln!(out, "  none: {why}")?;
    }
    for Names { rfc, section, ids } in &decider.names {
        for id in ids {
            let Some(one) = map.requirement(*rfc, id) else {
                continue;
            };
            writeln!(out, "  RFC {rfc} {section} {id}: {}", one.entry.statement)?;
            for place in &one.tested {
                writeln!(out, "    tested: {place}")?;
            }
        }
    }
    Ok(())
}

/// The map as text.
pub fn table(map: &Map, listing: Listing) -> String {
    let mut out = String::new();
    for of in &map.rfcs {
        // Writing to a string cannot fail.
        let _ = write_rfc(&mut out, of, listing);
    }
    out
}

fn write_rfc(out: &mut String, of: &RfcMap, listing: Listing) -> fmt::Result {
    writeln!(out, "RFC {}  {}", of.rfc, of.title)?;
    writeln!(out, "  level   total  implemented  tested  excepted  open")?;
    for level in Level::ALL {
        let c = of.counts(level);
        if c.total > 0 {
            writeln!(
                out,
                "  {:<6}  {:>5}  {:>11}  {:>6}  {:>8}  {:>4}",
                level.name(),
                c.total,
                c.implemented,
                c.tested,
                c.excepted,
                c.open
            )?;
        }
    }
    match listing {
        Listing::Counts => {}
        Listing::Missing => write_missing(out, of)?,
        Listing::All => of
            .requirements
            .iter()
            .try_for_each(|one| write_places(out, one))?,
    }
    writeln!(out)
}

fn write_missing(out: &mut String, of: &RfcMap) -> fmt::Result {
    for level in Level::ALL {
        let of_level = |one: &&Requirement| one.entry.level == level;
        let open = |one: &&Requirement| one.state() == State::Open;
        let untested = |one: &&Requirement| one.state() == State::Implemented;
        let all = || of.requirements.iter().filter(of_level);
        write_list(out, level, "open", all().filter(open))?;
        write_list(
            out,
            level,
            "implemented, not tested",
            all().filter(untested),
        )?;
    }
    let excepted = || {
        of.requirements
            .iter()
            .filter(|one| one.entry.exception.is_some())
    };
    if excepted().next().is_some() {
        writeln!(out, "  excepted")?;
    }
    for one in excepted() {
        write_line(out, one)?;
        writeln!(
            out,
            "               because: {}",
            one.entry.exception.as_deref().unwrap_or_default()
        )?;
    }
    Ok(())
}

fn write_list<'a>(
    out: &mut String,
    level: Level,
    what: &str,
    list: impl Iterator<Item = &'a Requirement>,
) -> fmt::Result {
    let mut list = list.peekable();
    if list.peek().is_some() {
        writeln!(out, "  {} {what}", level.name())?;
    }
    list.try_for_each(|one| write_line(out, one))
}

fn write_line(out: &mut String, one: &Requirement) -> fmt::Result {
    writeln!(
        out,
        "    {:<8} {:<10} {}",
        one.entry.id, one.entry.section, one.entry.statement
    )
}

fn write_places(out: &mut String, one: &Requirement) -> fmt::Result {
    write_line(out, one)?;
    if let Some(why) = &one.entry.exception {
        writeln!(out, "               excepted: {why}")?;
    }
    for (what, places) in [("implemented", &one.implemented), ("tested", &one.tested)] {
        for place in places {
            writeln!(out, "               {what}: {place}")?;
        }
    }
    Ok(())
}

/// The map for programs.
pub fn json(map: &Map, problems: &[Problem]) -> Value {
    let requirement = |one: &Requirement| {
        let mut value = json!(one);
        value["state"] = json!(one.state());
        value
    };
    let rfc = |of: &RfcMap| {
        let counts: serde_json::Map<String, Value> = Level::ALL
            .map(|level| (level.name().to_owned(), json!(of.counts(level))))
            .into_iter()
            .collect();
        json!({
            "rfc": of.rfc,
            "title": of.title,
            "counts": counts,
            "requirements": of.requirements.iter().map(requirement).collect::<Vec<_>>(),
        })
    };
    json!({
        "schema": 1,
        "rfcs": map.rfcs.iter().map(rfc).collect::<Vec<_>>(),
        "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    fn map() -> Map {
        let spec = "rfc = 7\ntitle = 'A protocol'\nsections = ['3']\n\
            [[requirement]]\nid = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nstatement = 'one'\n\
            [[requirement]]\nid = 'MUST-2'\nlevel = 'MUST'\nsection = '3'\nstatement = 'two'\n\
            exception = 'why not'\n\
            [[requirement]]\nid = 'MUST-3'\nlevel = 'MUST'\nsection = '3'\nstatement = 'three'\n";
        let code = "//= rfc7 3 MUST-1\nfn f() {}\n//= rfc7 3 MUST-1\n#[test]\nfn t() {}\n";
        let source = ("engine/a.rs".to_owned(), code.to_owned());
        let decides = "//= rfc7 3 MUST-1\nfn f() {\n    if a {}\n}\n\
            //= none: it is ours\nfn g() {\n    a()?;\n}\n";
        let input = ("engine/tcp/src/input/a.rs".to_owned(), decides.to_owned());
        Map::new(vec![Spec::parse(spec).unwrap()], &[source, input]).unwrap()
    }

    #[test]
    fn a_branch_leads_to_its_clause_and_to_its_test() {
        let expected = "\
            engine/tcp/src/input/a.rs:2 f\n\
            \x20 RFC 7 3 MUST-1: one\n\
            \x20   tested: engine/a.rs:3\n\
            engine/tcp/src/input/a.rs:6 g\n\
            \x20 none: it is ours\n\
            2 functions with a branch, 1 of them exempt\n";
        assert_eq!(branches(&map()), expected);
    }

    #[test]
    fn the_table_lists_what_is_missing() {
        let counts = "RFC 7  A protocol\n\
            \x20 level   total  implemented  tested  excepted  open\n\
            \x20 MUST        3            1       1         1     1\n";
        assert_eq!(table(&map(), Listing::Counts), format!("{counts}\n"));
        let missing = "\
            \x20 MUST open\n\
            \x20   MUST-3   3          three\n\
            \x20 excepted\n\
            \x20   MUST-2   3          two\n\
            \x20              because: why not\n";
        assert_eq!(
            table(&map(), Listing::Missing),
            format!("{counts}{missing}\n")
        );
        let all = table(&map(), Listing::All);
        assert!(all.contains("implemented: engine/a.rs:1\n"), "{all}");
        assert!(all.contains("tested: engine/a.rs:3\n"), "{all}");
    }

    #[test]
    fn json_has_states_places_and_counts() {
        let value = json(&map(), &[]);
        assert_eq!(value["schema"], 1);
        let rfc = &value["rfcs"][0];
        assert_eq!(rfc["counts"]["MUST"]["open"], 1);
        let states = |i: usize| rfc["requirements"][i]["state"].clone();
        assert_eq!(
            [states(0), states(1), states(2)],
            ["tested", "excepted", "open"]
        );
        assert_eq!(rfc["requirements"][0]["tested"][0]["line"], 3);
        assert_eq!(rfc["requirements"][1]["level"], "MUST");
    }
}
