//! Requirements as they are written down: one TOML file for each RFC.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// How much an RFC insists. "MUST NOT" and "SHOULD NOT" are among their kind: the statement says
/// what is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// MUST, MUST NOT, REQUIRED, SHALL.
    Must,
    /// SHOULD, SHOULD NOT, RECOMMENDED.
    Should,
    /// MAY, OPTIONAL.
    May,
}

impl Level {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::May];

    /// As the RFCs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

/// One requirement.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The RFC's own (`MUST-14`), or ours where it has none: `S3.2-1`, the first of section 3.2.
    pub id: String,
    /// How much the RFC insists.
    pub level: Level,
    /// The section that states it.
    pub section: String,
    /// Further sections that comments may name beside this id.
    #[serde(default, skip_serializing)]
    pub also: Vec<String>,
    /// What is required, in our own words.
    pub statement: String,
    /// Where and why we depart from it.
    pub exception: Option<String>,
}

/// The requirements of one RFC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The number of the RFC.
    pub rfc: u32,
    /// Its title.
    pub title: String,
    /// Every section that a comment may name.
    pub sections: Vec<String>,
    /// The requirements, in the order of the RFC.
    #[serde(rename = "requirement", default)]
    pub requirements: Vec<Entry>,
}

impl Spec {
    /// Reads a requirements file.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let spec: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        for entry in &self.requirements {
            let id = &entry.id;
            if !seen.insert(id) {
                return Err(format!("{id} is there twice"));
            }
            let sections = std::iter::once(&entry.section).chain(&entry.also);
            if let Some(section) = sections.into_iter().find(|s| !self.sections.contains(s)) {
                return Err(format!("{id}: `sections` does not list {section}"));
            }
            if !entry.id_fits() {
                return Err(format!("{id} does not fit its level or its section"));
            }
            let reason = entry.exception.as_deref();
            if entry.statement.trim().is_empty() || reason.is_some_and(|why| why.trim().is_empty())
            {
                return Err(format!("{id}: an empty sentence"));
            }
        }
        Ok(())
    }
}

impl Entry {
    fn id_fits(&self) -> bool {
        let Some((kind, number)) = self.id.rsplit_once('-') else {
            return false;
        };
        let kind_fits = match kind {
            "MUST" => self.level == Level::Must,
            "SHLD" | "REC" => self.level == Level::Should,
            "MAY" => self.level == Level::May,
            own => own.strip_prefix('S') == Some(&self.section),
        };
        kind_fits && number.parse::<u32>().is_ok_and(|number| number > 0)
    }

    /// A comment that names `section` may name this requirement.
    pub(crate) fn belongs_to(&self, section: &str) -> bool {
        self.section == section || self.also.iter().any(|also| also == section)
    }
}

/// Reads every requirements file of a directory, by number.
pub(crate) fn read_all(dir: &Path) -> Result<Vec<Spec>, String> {
    let listing = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut specs = Vec::new();
    for item in listing {
        let path = item.map_err(|e| format!("{}: {e}", dir.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let explain = |why: String| format!("{}: {why}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|e| explain(e.to_string()))?;
        let spec = Spec::parse(&text).map_err(explain)?;
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(&spec.rfc.to_string()) {
            return Err(explain(format!("is about RFC {}", spec.rfc)));
        }
        specs.push(spec);
    }
    specs.sort_by_key(|spec| spec.rfc);
    Ok(specs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(requirement: &str) -> Result<Spec, String> {
        Spec::parse(&format!(
            "rfc = 1\ntitle = 't'\nsections = ['3', '3.1']\n[[requirement]]\n{requirement}"
        ))
    }

    #[test]
    fn good_entries_are_read() {
        let must = with("id = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'").unwrap();
        assert_eq!(must.requirements[0].level, Level::Must);
        let own = "id = 'S3.1-2'\nlevel = 'SHOULD'\nsection = '3.1'\nalso = ['3']\n\
                   statement = 's'\nexception = 'e'";
        let own = with(own).unwrap();
        assert!(own.requirements[0].belongs_to("3.1") && own.requirements[0].belongs_to("3"));
        assert!(!own.requirements[0].belongs_to("3.2"));
    }

    #[test]
    fn each_way_to_get_one_wrong_is_found() {
        for bad in [
            "id = 'MUST-1'\nlevel = 'MAY'\nsection = '3'\nstatement = 's'",
            "id = 'SHLD-1'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'",
            "id = 'MUST-1'\nlevel = 'MUST'\nsection = '4'\nstatement = 's'",
            "id = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nalso = ['5']\nstatement = 's'",
            "id = 'MUST-0'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'",
            "id = 'MUST'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'",
            "id = 'S3-1'\nlevel = 'MUST'\nsection = '3.1'\nstatement = 's'",
            "id = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nstatement = ' '",
            "id = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'\nexception = ''",
            "id = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'\nimplemented = true",
            "id = 'MUST-1'\nlevel = 'must'\nsection = '3'\nstatement = 's'",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
        let one = "id = 'MUST-1'\nlevel = 'MUST'\nsection = '3'\nstatement = 's'\n";
        let error = with(&format!("{one}[[requirement]]\n{one}")).unwrap_err();
        assert_eq!(error, "MUST-1 is there twice");
    }
}
