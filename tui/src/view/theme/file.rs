//! A theme file: roles, and how each looks, in TOML. What it does not name stays as it is.
//!
//! ```toml
//! accent = "#62c6cc"
//! bad = "bold red"
//! selection = "on 236"
//!
//! [type]
//! pinned = "magenta"
//!
//! [ledger]
//! referenced = "44"
//! ```

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};

/// How roles look that the file names.
pub type Looks = BTreeMap<String, Style>;

/// The roles that a file may name; those of a table behind a dot.
pub const ROLES: [&str; 29] = [
    "text",
    "dim",
    "accent",
    "title",
    "column",
    "sorted",
    "ok",
    "warn",
    "bad",
    "disk",
    "marked",
    "selection",
    "type.actor_handle",
    "type.pinned",
    "type.pending_task",
    "type.local",
    "type.captured",
    "ledger.pinned",
    "ledger.argument",
    "ledger.referenced",
    "ledger.captured",
    "ledger.creating",
    "ledger.spilling",
    "ledger.restoring",
    "ledger.secondary",
    "ledger.padding",
    "ledger.holes",
    "ledger.slack",
    "ledger.free",
];

/// Reads a theme.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Looks, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut looks = Looks::new();
    for (name, value) in &table {
        match value {
            toml::Value::Table(inner) => {
                for (part, value) in inner {
                    add(&mut looks, format!("{name}.{part}"), value)?;
                }
            }
            value => add(&mut looks, name.clone(), value)?,
        }
    }
    Ok(looks)
}

fn add(looks: &mut Looks, role: String, value: &toml::Value) -> Result<(), String> {
    if !ROLES.contains(&role.as_str()) {
        return Err(format!("there is no role '{role}': it is one of {}", ROLES.join(", ")));
    }
    let toml::Value::String(text) = value else { return Err(format!("the look of '{role}' is no text such as \"bold red\"")) };
    let look = style(text).map_err(|word| {
        format!("'{word}' in the look of '{role}' is no colour (a name such as red or bright-red, a number up to 255, #rrggbb) and none of bold, dim, italic, underlined, reversed, on")
    })?;
    looks.insert(role, look);
    Ok(())
}

/// `bold red on 236`; the word that cannot be read otherwise.
fn style(text: &str) -> Result<Style, &str> {
    let mut style = Style::new();
    let mut ground = false;
    for word in text.split_whitespace() {
        match word {
            "bold" => style = style.add_modifier(Modifier::BOLD),
            "dim" => style = style.add_modifier(Modifier::DIM),
            "italic" => style = style.add_modifier(Modifier::ITALIC),
            "underlined" => style = style.add_modifier(Modifier::UNDERLINED),
            "reversed" => style = style.add_modifier(Modifier::REVERSED),
            "on" => ground = true,
            _ => {
                let color: Color = word.parse().map_err(|_| word)?;
                style = if std::mem::take(&mut ground) { style.bg(color) } else { style.fg(color) };
            }
        }
    }
    if ground { Err("on") } else { Ok(style) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_get_the_looks_of_the_file() {
        let looks = parse("accent = '#62c6cc'\nbad = 'bold red'\nselection = 'on 236'\n[type]\npinned = 'bright-magenta'\n").unwrap();
        assert_eq!(looks["accent"].fg, Some(Color::Rgb(0x62, 0xc6, 0xcc)));
        assert_eq!((looks["bad"].fg, looks["bad"].add_modifier), (Some(Color::Red), Modifier::BOLD));
        assert_eq!((looks["selection"].fg, looks["selection"].bg), (None, Some(Color::Indexed(236))));
        assert_eq!(looks["type.pinned"].fg, Some(Color::LightMagenta));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, part) in [
            ("accnt = 'red'", "no role 'accnt'"),
            ("[ledger]\nfre = 'red'", "no role 'ledger.fre'"),
            ("accent = 'purpel'", "'purpel' in the look of 'accent'"),
            ("accent = 'red on'", "'on'"),
            ("accent = 3", "no text"),
            ("accent = ", ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
