//! Requirements and comments tied together, and what is wrong about the ties.

use crate::branches::{self, Decider};
use crate::scan::{Comment, Names, Place, Says, comments_in};
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
    pub(crate) fn new(place: &Place, what: String) -> Self {
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
    /// Every function of input processing with a branch.
    pub deciders: Vec<Decider>,
    comment_problems: Vec<Problem>,
}

impl Map {
    /// Ties the comments of these sources, each a path and a text, to requirements.
    ///
    /// # Errors
    /// A file of input processing that is no Rust.
    pub fn new(specs: Vec<Spec>, sources: &[(String, String)]) -> Result<Self, String> {
        let mut map = Self::without_comments(specs);
        for (file, text) in sources {
            let comments = comments_in(file, text);
            let input = branches::is_input(file);
            for comment in &comments {
                map.take(comment, input);
            }
            if input {
                let (deciders, problems) = branches::deciders(file, text, &comments)?;
                map.deciders.extend(deciders);
                map.comment_problems.extend(problems);
            }
        }
        Ok(map)
    }

    fn without_comments(specs: Vec<Spec>) -> Self {
        let rfcs = specs
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
        Self {
            rfcs,
            deciders: Vec::new(),
            comment_problems: Vec::new(),
        }
    }

    fn take(&mut self, comment: &Comment, input: bool) {
        let what = match &comment.says {
            Says::Names(names) => match self.rfcs.iter_mut().find(|of| of.rfc == names.rfc) {
                Some(of) => return self.comment_problems.extend(of.take(names, comment)),
                None => format!("there is no requirements file for RFC {}", names.rfc),
            },
            Says::Exempt(_) if input => return,
            Says::Exempt(_) => "`//= none: REASON` is for input processing only".to_owned(),
            Says::Nothing => "not `//= rfcNUMBER SECTION [ID ...]`".to_owned(),
        };
        self.comment_problems
            .push(Problem::new(&comment.place, what));
    }

    /// A requirement, if there is one of this id.
    pub fn requirement(&self, rfc: u32, id: &str) -> Option<&Requirement> {
        let of = self.rfcs.iter().find(|of| of.rfc == rfc)?;
        of.requirements.iter().find(|one| one.entry.id == id)
    }

    /// What is wrong: comments that name what there is not, a branch of input processing that leads
    /// to no requirement, a MUST, or anything that input processing names, that is implemented and
    /// not tested, and, if asked for, a MUST that is open.
    pub fn problems(&self, no_open_must: bool) -> Vec<Problem> {
        let mut problems = self.comment_problems.clone();
        for of in &self.rfcs {
            for one in &of.requirements {
                let (rfc, id, section) = (of.rfc, &one.entry.id, &one.entry.section);
                let must = one.entry.level == Level::Must;
                match one.state() {
                    State::Implemented => {
                        let named = |at: &&Place| must || branches::is_input(&at.file);
                        let what = format!(
                            "RFC {rfc} {section} {id} is implemented, and no test shows it"
                        );
                        let place = one.implemented.iter().find(named);
                        problems.extend(place.map(|at| Problem::new(at, what)));
                    }
                    State::Open if must && no_open_must => problems.push(Problem {
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
        of_file("engine/a/src/lib.rs", code, tests)
    }

    fn of_file(file: &str, code: &str, tests: &str) -> Map {
        let sources = [(file, code), ("engine/a/tests/all.rs", tests)];
        let sources = sources.map(|(file, text)| (file.to_owned(), text.to_owned()));
        Map::new(vec![Spec::parse(SPEC).unwrap()], &sources).unwrap()
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
    fn all_that_input_processing_names_is_tested() {
        let file = "engine/tcp/src/listen.rs";
        let untested = of_file(file, "//= rfc7 3.2 SHLD-1", "").problems(false);
        let expected = "RFC 7 3.2 SHLD-1 is implemented, and no test shows it";
        assert_eq!(untested[0].to_string(), format!("{file}:1: {expected}"));
        let tested = of_file(file, "//= rfc7 3.2 SHLD-1", "//= rfc7 3.2 SHLD-1");
        assert_eq!(tested.problems(false), []);
    }

    #[test]
    fn a_branch_of_input_processing_names_a_requirement() {
        let code = "fn f() {\n    if a {}\n}\n";
        let map = of_file("engine/tcp/src/time_wait.rs", code, "");
        assert_eq!(map.problems(false).len(), 1);
        assert_eq!(map.deciders[0].name, "f");
        let elsewhere = of_file("engine/tcp/src/rtt.rs", code, "");
        assert_eq!(elsewhere.problems(false), []);
    }

    #[test]
    fn exemptions_are_for_input_processing_only() {
        let expected = "engine/a/src/lib.rs:1: `//= none: REASON` is for input processing only";
        assert_eq!(problems("//= none: because\nfn f() {}\n", ""), [expected]);
        let code = "//= none: because\nfn f() {\n    if a {}\n}\n";
        let map = of_file("engine/tcp/src/input/mod.rs", code, "");
        assert_eq!(map.problems(false), []);
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
