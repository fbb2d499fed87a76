//! The SQL text that both engines run.
//!
//! Write standard SQL that SQLite and PostgreSQL both understand, under these rules, each of which has bitten somebody:
//!
//! - Placeholders are `?1`, `?2`, ..; the same one may occur twice. PostgreSQL gets `$1`, `$2`, ..
//! - Tokens stand for what differs:
//!
//!   | token | SQLite | PostgreSQL |
//!   |---|---|---|
//!   | `{i64}` | `INTEGER` | `BIGINT` |
//!   | `{bytes}` | `BLOB` | `BYTEA` |
//!   | `{table}` | `STRICT` | |
//!   | `{clustered}` | `STRICT, WITHOUT ROWID` | |
//!   | `{skip_locked}` | | `FOR UPDATE SKIP LOCKED` |
//!
//! - Text compares by bytes: in migrations, `TEXT` becomes `TEXT COLLATE "C"` for PostgreSQL. Keep prefix ranges
//!   (`name >= ?1 AND name < ?2`) in place of `LIKE`.
//! - Sums of integers are `CAST(SUM(x) AS {i64})` (PostgreSQL widens them to NUMERIC).
//! - A parameter that is compared with nothing but NULL needs a type: `CAST(?1 AS TEXT) IS NULL`.
//! - `ORDER BY` a column that can be NULL says `NULLS FIRST` or `NULLS LAST`.
//! - No booleans (0 and 1), arrays, `now()` (pass the clock in), `GREATEST`, `GLOB`, `ROWID`, `INSERT OR ..`,
//!   double-quoted strings.

use std::borrow::Cow;

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The embedded one.
    Sqlite,
    /// A server that speaks PostgreSQL's protocol.
    Postgres,
}

impl Engine {
    /// `sqlite` or `postgres`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// A statement in the engine's own words.
    pub fn render(self, sql: &str) -> Cow<'_, str> {
        match self {
            Self::Sqlite if !sql.contains('{') => Cow::Borrowed(sql),
            Self::Postgres if !sql.contains(['{', '?']) => Cow::Borrowed(sql),
            _ => Cow::Owned(self.rewrite(sql, false)),
        }
    }

    /// The text of a migration in the engine's own words.
    pub fn render_migration(self, sql: &str) -> String {
        self.rewrite(sql, true)
    }

    fn token(self, name: &str) -> Option<&'static str> {
        Some(match (name, self) {
            ("i64", Self::Sqlite) => "INTEGER",
            ("i64", Self::Postgres) => "BIGINT",
            ("bytes", Self::Sqlite) => "BLOB",
            ("bytes", Self::Postgres) => "BYTEA",
            ("table", Self::Sqlite) => "STRICT",
            ("clustered", Self::Sqlite) => "STRICT, WITHOUT ROWID",
            ("skip_locked", Self::Postgres) => "FOR UPDATE SKIP LOCKED",
            ("table" | "clustered", Self::Postgres) | ("skip_locked", Self::Sqlite) => "",
            _ => return None,
        })
    }

    fn rewrite(self, sql: &str, migration: bool) -> String {
        let mut out = String::with_capacity(sql.len() + 64);
        let mut rest = sql;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '\'' | '"' => quoted(rest, first),
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                'A'..='Z' | 'a'..='z' | '_' => rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (piece, after) = rest.split_at(length);
            rest = after;
            match piece {
                "?" if self == Self::Postgres => out.push('$'),
                "TEXT" if migration && self == Self::Postgres => out.push_str("TEXT COLLATE \"C\""),
                "{" => match after
                    .split_once('}')
                    .and_then(|(name, after)| Some((self.token(name)?, after)))
                {
                    Some((token, after)) => {
                        out.push_str(token);
                        rest = after;
                    }
                    None => out.push('{'),
                },
                piece => out.push_str(piece),
            }
        }
        out
    }
}

/// The length of the quoted string that `text` begins with. A doubled quote reads as two strings in a row, which
/// comes to the same.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::Engine::{Postgres, Sqlite};

    #[test]
    fn placeholders_are_numbered_for_both() {
        let sql = "SELECT a FROM t WHERE b = ?1 AND (c > ?2 OR d = ?1)";
        assert_eq!(Sqlite.render(sql), sql);
        assert_eq!(
            Postgres.render(sql),
            "SELECT a FROM t WHERE b = $1 AND (c > $2 OR d = $1)"
        );
    }

    #[test]
    fn strings_names_and_comments_are_left_alone() {
        let sql = "SELECT 'it''s ?1 {i64}', \"q?\" -- why? {table}\n, ?1";
        assert_eq!(
            Postgres.render(sql),
            "SELECT 'it''s ?1 {i64}', \"q?\" -- why? {table}\n, $1"
        );
        assert_eq!(Postgres.render("SELECT 'open ?1"), "SELECT 'open ?1");
    }

    #[test]
    fn tokens_differ_by_engine() {
        let sql = "CREATE TABLE t (a {i64} NOT NULL, b {bytes}, c TEXT) {clustered}";
        assert_eq!(
            Sqlite.render_migration(sql),
            "CREATE TABLE t (a INTEGER NOT NULL, b BLOB, c TEXT) STRICT, WITHOUT ROWID"
        );
        assert_eq!(
            Postgres.render_migration(sql),
            "CREATE TABLE t (a BIGINT NOT NULL, b BYTEA, c TEXT COLLATE \"C\") "
        );
        assert_eq!(
            Postgres.render("SELECT a FROM t {skip_locked}"),
            "SELECT a FROM t FOR UPDATE SKIP LOCKED"
        );
        assert_eq!(
            Sqlite.render("SELECT a FROM t {skip_locked}"),
            "SELECT a FROM t "
        );
        assert_eq!(
            Sqlite.render("SELECT '{}', {unknown}"),
            "SELECT '{}', {unknown}"
        );
    }

    #[test]
    fn text_gets_its_collation_in_migrations_only() {
        assert_eq!(
            Postgres.render("SELECT CAST(?1 AS TEXT)"),
            "SELECT CAST($1 AS TEXT)"
        );
        assert_eq!(
            Postgres.render_migration("a TEXT, CONTEXT {i64}"),
            "a TEXT COLLATE \"C\", CONTEXT BIGINT"
        );
    }
}
