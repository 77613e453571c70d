//! Requirements and comments tied together, and what is wrong about the ties.

use crate::scan::{Comment, Names, Place};
use crate::spec::{Entry, Level, Spec};
use serde::Serialize;
use std::fmt;

/// How far a requirement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Code says that it implements it, and a test says that it shows it.
    Tested,
    /// Code says that it implements it.
    Implemented,
    /// We depart from it, with a reason.
    Excepted,
    /// None of these.
    Open,
}

/// A requirement and the places that name it.
#[derive(Clone, Debug, Serialize)]
pub struct Requirement {
    /// What is written down about it.
    #[serde(flatten)]
    pub entry: Entry,
    /// Code that implements it.
    pub implemented: Vec<Place>,
    /// Tests that show it.
    pub tested: Vec<Place>,
}

impl Requirement {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            implemented: Vec::new(),
            tested: Vec::new(),
        }
    }

    /// How far it is. What is tested and nowhere implemented is open.
    pub fn state(&self) -> State {
        match (self.implemented.is_empty(), self.tested.is_empty()) {
            (false, false) => State::Tested,
            (false, true) => State::Implemented,
            (true, _) if self.entry.exception.is_some() => State::Excepted,
            (true, _) => State::Open,
        }
    }
}

/// How many requirements of one level are how far. An exception may be about a part of a requirement
/// of which the rest is implemented, so the columns can add up to more than `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub total: usize,
    /// With code that implements it.
    pub implemented: usize,
    /// With such code and with a test.
    pub tested: usize,
    /// With an exception.
    pub excepted: usize,
    /// With neither code nor exception.
    pub open: usize,
}

/// The requirements of one RFC.
#[derive(Clone, Debug, Serialize)]
pub struct RfcMap {
    /// The number of the RFC.
    pub rfc: u32,
    /// Its title.
    pub title: String,
    /// Its requirements.
    pub requirements: Vec<Requirement>,
    #[serde(skip)]
    sections: Vec<String>,
}

impl RfcMap {
    /// How many requirements of `level` are how far.
    pub fn counts(&self, level: Level) -> Counts {
        let mut counts = Counts::default();
        for one in self
            .requirements
            .iter()
            .filter(|one| one.entry.level == level)
        {
            let state = one.state();
            counts.total += 1;
            counts.implemented += usize::from(!one.implemented.is_empty());
            counts.tested += usize::from(state == State::Tested);
            counts.excepted += usize::from(one.entry.exception.is_some());
            counts.open += usize::from(state == State::Open);
        }
        counts
    }

    fn take(&mut self, names: &Names, comment: &Comment) -> Vec<Problem> {
        let Names { rfc, section, ids } = names;
        let mut problems = Vec::new();
        let mut problem = |what: String| problems.push(Problem::new(&comment.place, what));
        if !self.sections.contains(section) {
            problem(format!(
                "RFC {rfc} has no section {section} that is known here"
            ));
        }
        for id in ids {
            let Some(one) = self.requirements.iter_mut().find(|one| one.entry.id == *id) else {
                problem(format!("RFC {rfc} has no requirement {id}"));
                continue;
            };
            if !one.entry.belongs_to(section) {
                let home = &one.entry.section;
                problem(format!(
                    "{id} is a requirement of section {home}, not of {section}"
                ));
            }
            let places = if comment.test {
                &mut one.tested
            } else {
                &mut one.implemented
            };
            places.push(comment.place.clone());
        }
        problems
    }
}

/// Something that `--check` fails for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it is, when it is in one place.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
}

impl Problem {
    fn new(place: &Place, what: String) -> Self {
        Self {
            place: Some(place.clone()),
            what,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Every requirement, and every problem with the comments.
#[derive(Clone, Debug)]
pub struct Map {
    /// One for each RFC, by number.
    pub rfcs: Vec<RfcMap>,
    comment_problems: Vec<Problem>,
}

impl Map {
    /// Ties comments to requirements.
    pub fn new(specs: Vec<Spec>, comments: &[Comment]) -> Self {
        let mut rfcs: Vec<RfcMap> = specs
            .into_iter()
            .map(|spec| RfcMap {
                rfc: spec.rfc,
                title: spec.title,
                sections: spec.sections,
                requirements: spec
                    .requirements
                    .into_iter()
                    .map(Requirement::new)
                    .collect(),
            })
            .collect();
        let mut comment_problems = Vec::new();
        for comment in comments {
            let Some(names) = &comment.names else {
                let what = "not `//= rfcNUMBER SECTION [ID ...]`".to_owned();
                comment_problems.push(Problem::new(&comment.place, what));
                continue;
            };
            match rfcs.iter_mut().find(|of| of.rfc == names.rfc) {
                Some(of) => comment_problems.extend(of.take(names, comment)),
                None => {
                    let what = format!("there is no requirements file for RFC {}", names.rfc);
                    comment_problems.push(Problem::new(&comment.place, what));
                }
            }
        }
        Self {
            rfcs,
            comment_problems,
        }
    }

    /// What is wrong: comments that name what there is not, a MUST that is implemented and not
    /// tested, and, if asked for, a MUST that is open.
    pub fn problems(&self, no_open_must: bool) -> Vec<Problem> {
        let mut problems = self.comment_problems.clone();
        for of in &self.rfcs {
            for one in of
                .requirements
                .iter()
                .filter(|one| one.entry.level == Level::Must)
            {
                let (rfc, id, section) = (of.rfc, &one.entry.id, &one.entry.section);
                match one.state() {
                    State::Implemented => {
                        let what = format!(
                            "RFC {rfc} {section} {id} is implemented, and no test shows it"
                        );
                        problems.extend(one.implemented.first().map(|at| Problem::new(at, what)));
                    }
                    State::Open if no_open_must => problems.push(Problem {
                        place: None,
                        what: format!("RFC {rfc} {section} {id} is open: {}", one.entry.statement),
                    }),
                    _ => {}
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::comments_in;

    const SPEC: &str = "
rfc = 7
title = 'A protocol'
sections = ['3.1', '3.2']
[[requirement]]
id = 'MUST-1'
level = 'MUST'
section = '3.1'
also = ['3.2']
statement = 'one'
[[requirement]]
id = 'MUST-2'
level = 'MUST'
section = '3.2'
statement = 'two'
exception = 'it is not worth it'
[[requirement]]
id = 'SHLD-1'
level = 'SHOULD'
section = '3.2'
statement = 'three'
";

    fn map(code: &str, tests: &str) -> Map {
        let mut comments = comments_in("engine/a/src/lib.rs", code);
        comments.extend(comments_in("engine/a/tests/all.rs", tests));
        Map::new(vec![Spec::parse(SPEC).unwrap()], &comments)
    }

    fn problems(code: &str, tests: &str) -> Vec<String> {
        let problems = map(code, tests).problems(false).into_iter();
        problems.map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn states_follow_from_comments() {
        let states = |code, tests| -> Vec<State> {
            let map = map(code, tests);
            map.rfcs[0]
                .requirements
                .iter()
                .map(Requirement::state)
                .collect()
        };
        use State::{Excepted, Implemented, Open, Tested};
        assert_eq!(states("", ""), [Open, Excepted, Open]);
        assert_eq!(states("", "//= rfc7 3.1 MUST-1"), [Open, Excepted, Open]);
        assert_eq!(
            states("//= rfc7 3.1", "//= rfc7 3.1"),
            [Open, Excepted, Open]
        );
        assert_eq!(
            states("//= rfc7 3.2 MUST-1 MUST-2 SHLD-1", "//= rfc7 3.1 MUST-1"),
            [Tested, Implemented, Implemented]
        );
    }

    #[test]
    fn counts_add_up() {
        let map = map(
            "//= rfc7 3.1 MUST-1\n//= rfc7 3.2 MUST-2",
            "//= rfc7 3.1 MUST-1",
        );
        let must = Counts {
            total: 2,
            implemented: 2,
            tested: 1,
            excepted: 1,
            open: 0,
        };
        assert_eq!(map.rfcs[0].counts(Level::Must), must);
        let should = Counts {
            total: 1,
            open: 1,
            ..Counts::default()
        };
        assert_eq!(map.rfcs[0].counts(Level::Should), should);
    }

    #[test]
    fn what_is_right_is_no_problem() {
        assert_eq!(problems("", ""), [""; 0]);
        let (code, tests) = (
            "//= rfc7 3.1 MUST-1\n//= rfc7 3.2 SHLD-1",
            "//= rfc7 3.2 MUST-1",
        );
        assert_eq!(problems(code, tests), [""; 0]);
    }

    #[test]
    fn an_unknown_requirement_is_a_problem() {
        let expected = ["engine/a/src/lib.rs:1: RFC 7 has no requirement MUST-9"];
        assert_eq!(problems("//= rfc7 3.1 MUST-9", ""), expected);
        assert_eq!(problems("", "//= rfc7 3.1 MUST-9").len(), 1);
    }

    #[test]
    fn an_unknown_section_is_a_problem() {
        let expected = ["engine/a/src/lib.rs:1: RFC 7 has no section 9.9 that is known here"];
        assert_eq!(problems("//= rfc7 9.9", ""), expected);
    }

    #[test]
    fn a_requirement_of_another_section_is_a_problem() {
        let expected =
            ["engine/a/src/lib.rs:1: SHLD-1 is a requirement of section 3.2, not of 3.1"];
        assert_eq!(problems("//= rfc7 3.1 SHLD-1", ""), expected);
    }

    #[test]
    fn an_unknown_rfc_is_a_problem() {
        let expected = ["engine/a/src/lib.rs:1: there is no requirements file for RFC 8"];
        assert_eq!(problems("//= rfc8 3.1", ""), expected);
    }

    #[test]
    fn a_comment_that_says_nothing_is_a_problem() {
        let expected = ["engine/a/tests/all.rs:1: not `//= rfcNUMBER SECTION [ID ...]`"];
        assert_eq!(problems("", "//= see the rfc"), expected);
    }

    #[test]
    fn an_implemented_must_without_a_test_is_a_problem_and_a_should_is_not() {
        let expected =
            ["engine/a/src/lib.rs:1: RFC 7 3.1 MUST-1 is implemented, and no test shows it"];
        assert_eq!(problems("//= rfc7 3.1 MUST-1", ""), expected);
        // An exception about a part does not make up for the test of the rest.
        assert_eq!(problems("//= rfc7 3.2 MUST-2", "").len(), 1);
        assert_eq!(problems("//= rfc7 3.2 SHLD-1", ""), [""; 0]);
    }

    #[test]
    fn an_open_must_is_a_problem_only_when_asked() {
        let open = map("", "");
        assert_eq!(open.problems(false), []);
        let strict = open.problems(true);
        assert_eq!(strict.len(), 1, "an exception is not open: {strict:?}");
        assert_eq!(strict[0].to_string(), "RFC 7 3.1 MUST-1 is open: one");
    }
}
