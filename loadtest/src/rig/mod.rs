//! The rig: every row of the table of speeds, Kizuna and the floor in turn, several rounds, medians with their spread.
//!
//! Each piece of work gets a server of its own, on free ports and, if it stores anything, an empty folder; the players are a process
//! of their own, too. Whoever went first in one round goes second in the next.

pub mod args;
pub mod catalogue;
pub mod document;
pub mod machine;
pub mod numbers;
pub mod picture;
pub mod results;
pub mod rounds;
pub mod row;
pub mod table;
pub mod work;

use crate::{
    interrupt::{self, Interrupt},
    keys::SigningKey,
    progress,
    report::write_json,
    trial::{CONFIGURATION, Program, executable},
};
use args::MeasureOptions;
use machine::Conditions;
use results::Results;
use rounds::Rounds;
use row::Row;
use std::{fs, path::Path};
use work::{Scale, Subject};

/// Measures, prints the tables, and writes what is to be written; false when something was not clean. A bar that is not met is not a
/// fault: the tables name it.
///
/// # Errors
/// It could not be measured, or written. What had been measured until then is printed all the same.
pub fn execute(options: &MeasureOptions) -> Result<bool, String> {
    let rows = chosen(&options.rows)?;
    options.write.as_deref().map_or(Ok(()), document::check)?;
    let subjects = subjects(options)?;
    let conditions = Conditions::now(options);
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let scale = scale(options, scratch.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (rows, outcome) = runtime.map_err(|error| error.to_string())?.block_on(async {
        let rounds =
            Rounds { subjects: &subjects, scale: &scale, count: options.rounds, interrupt: Interrupt::listen()? };
        Ok::<_, String>(rounds.measure(rows).await)
    })?;
    let results = Results { conditions, subjects: subjects.map(|subject| subject.name).to_vec(), rows };
    let table = if options.against.is_some() { table::compared(&results) } else { table::judged(&results) };
    progress::print(&table);
    if let Some(file) = &options.out {
        write_json(file, &results)?;
    }
    outcome?;
    if let Some(file) = &options.write {
        document::replace(file, &table)?;
    }
    if let Some(file) = &options.draw {
        write(file, &picture::draw(&results)?)?;
    }
    Ok(results.rows.iter().all(|row| row.faults.is_empty()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The rows of these names, or all, in the order of the tables.
fn chosen(names: &[String]) -> Result<Vec<Row>, String> {
    let mut rows = catalogue::all();
    let known: Vec<_> = rows.iter().map(|row| row.name).collect();
    if let Some(stranger) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no row \"{stranger}\"; rows are {}", known.join(", ")));
    }
    rows.retain(|row| names.is_empty() || names.iter().any(|name| name == row.name));
    Ok(rows)
}

/// Who takes turns: Kizuna and the floor, or two Kizunas.
fn subjects(options: &MeasureOptions) -> Result<[Subject; 2], String> {
    let kizuna = Program::Kizuna(executable(options.kizuna.as_deref(), "kizuna")?);
    match &options.against {
        Some(other) => {
            let other = Program::Kizuna(executable(Some(other), "kizuna")?);
            Ok([Subject { name: "A", program: kizuna }, Subject { name: "B", program: other }])
        }
        None => {
            let floor = Program::Floor(executable(options.floor.as_deref(), "floor")?);
            Ok([Subject { name: "Kizuna", program: kizuna }, Subject { name: "floor", program: floor }])
        }
    }
}

/// Writes the keys and the configuration that all of Kizuna's runs share.
fn scale(options: &MeasureOptions, scratch: &Path) -> Result<Scale, String> {
    let (key, jwks) = SigningKey::generate()?.write(&scratch.join("keys"))?;
    let (plain, trusting) = (scratch.join("plain.toml"), scratch.join("trusting.toml"));
    write(&plain, CONFIGURATION)?;
    write(&trusting, &(CONFIGURATION.to_owned() + &trust(&jwks)))?;
    Ok(Scale {
        seconds: options.seconds.as_secs_f64(),
        sockets: options.sockets,
        logins: options.logins,
        accounts: options.accounts,
        prompt: machine::may_run_promptly(),
        key,
        plain,
        trusting,
        stores: options.keep.clone().unwrap_or_else(|| scratch.join("stores")),
    })
}

/// Trust in tokens that the harness signs with the key of this set.
fn trust(jwks: &Path) -> String {
    format!(
        r#"
[[identity.trust]]
name = "measured"
issuers = ["https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_loadtest"]
jwks = {{ file = {:?} }}
audience = {{ claim = "client_id", any_of = ["loadtest"] }}
token_type = {{ claim = "token_use", equals = "access" }}
"#,
        jwks.display().to_string()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_strangers_refused() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rows = chosen(&names(&["stop", "account"])).unwrap();
        assert_eq!(rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["account", "stop"]);
        assert!(chosen(&names(&["elsewhere"])).unwrap_err().contains("paced-json"));
        assert_eq!(chosen(&[]).unwrap().len(), catalogue::all().len());
    }
}
