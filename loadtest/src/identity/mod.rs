//! The conformance kit for identity bridges (`tests/identity/`): writing it (`cases`, `generate`), replaying it against a server
//! (`check`), and an identity provider that rotates its keys, stalls, floods and lies (`provider`).

pub mod args;
mod book;
mod cases;
pub mod check;
pub mod corpus;
pub mod generate;
pub mod keys;
pub mod provider;

use args::IdentityTool;

/// Does what the command line says; false when a server failed a case.
///
/// # Errors
/// Why it could not be done.
pub fn execute(tool: &IdentityTool) -> Result<bool, String> {
    match tool {
        IdentityTool::Generate(options) => generate::run(options).map(|()| true),
        IdentityTool::Provider(options) => provider::run(options).map(|()| true),
        IdentityTool::Check(options) => check::run(options),
        IdentityTool::Trust(options) => {
            crate::progress::print(&corpus::trust(&options.folder.display().to_string()));
            Ok(true)
        }
    }
}
