//! The modules of the source, and which of them uses which.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Named, named};

/// A module's path below the crate; none for the crate itself.
pub(crate) type Module = Vec<String>;

/// One module uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) from: Module,
    pub(crate) to: Module,
    /// Where, for people.
    pub(crate) place: String,
}

/// All modules that are files, and what each names.
pub(crate) struct Tree {
    names: BTreeMap<Module, (String, Vec<Named>)>,
    /// What a module passes on, by its name there.
    passed_on: BTreeMap<(Module, String), Module>,
}

impl Tree {
    /// Reads the files below a folder. Files of tests do not count.
    pub(crate) fn read(root: &Path) -> Self {
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).expect("UTF-8");
            (path.strip_prefix(root).expect("below the root").display().to_string(), text)
        };
        Self::of(files(root).into_iter().map(read).collect())
    }

    /// Of files and their text.
    pub(crate) fn of(files: Vec<(String, String)>) -> Self {
        let files: Vec<_> = files.into_iter().map(|(file, text)| (module_of(&file), file, text)).collect();
        let files: Vec<_> = files.into_iter().filter(|(module, ..)| !module.iter().any(|part| part == "tests")).collect();
        let mut tree = Self { names: BTreeMap::new(), passed_on: BTreeMap::new() };
        for (module, file, text) in &files {
            let own = files.iter().filter(|(other, ..)| other.split_last().is_some_and(|(_, parent)| parent == &module[..]));
            let children: Vec<_> = own.filter_map(|(child, ..)| child.last()).map(String::as_str).collect();
            tree.names.insert(module.clone(), (file.clone(), named(text, &children)));
        }
        for (module, (_, names)) in &tree.names {
            for named in names.iter().filter(|named| named.passed_on) {
                let Some(local) = &named.local else { continue };
                tree.passed_on.insert((module.clone(), local.clone()), absolute(module, &named.path));
            }
        }
        tree
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.names.keys()
    }

    /// Every use of one module by another. What a module passes on from those within it, it does not use.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, (file, names)) in &self.names {
            for named in names {
                let to = self.home(&absolute(from, &named.path));
                let is_own = named.passed_on && to.starts_with(from);
                if to != *from && !is_own {
                    uses.push(Use { from: from.clone(), to, place: format!("src/{file}:{}", named.line) });
                }
            }
        }
        uses
    }

    /// The module in which what this path names stands.
    fn home(&self, path: &[String]) -> Module {
        let length = (0..=path.len()).rev().find(|length| self.names.contains_key(&path[..*length])).unwrap_or_default();
        let (module, rest) = path.split_at(length);
        let Some((first, rest)) = rest.split_first() else { return module.to_vec() };
        match self.passed_on.get(&(module.to_vec(), first.clone())) {
            Some(origin) if origin[..] != path[..=length] => self.home(&[&origin[..], rest].concat()),
            // Something of a room that is named but is no file, such as what a macro makes, belongs to the room.
            Some(_) | None => module.to_vec(),
        }
    }
}

/// A path as seen from the crate.
fn absolute(module: &[String], path: &[String]) -> Module {
    let mut base = module.to_vec();
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        rest = behind;
    }
    base.extend_from_slice(rest);
    base
}

fn module_of(file: &str) -> Module {
    let parts = file.trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut module: Module = parts.collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the source is there").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
