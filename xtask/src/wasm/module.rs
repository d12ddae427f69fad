//! Reads names out of a WebAssembly module: what it imports, what it exports. As much of the binary
//! format (WebAssembly Core Specification 2.0, chapter 5) as that takes.

/// Names in a module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// `module.name` of each import.
    pub(super) imports: Vec<String>,
    /// Name of each exported function.
    pub(super) exports: Vec<String>,
}

const IMPORT_SECTION: u8 = 2;
const EXPORT_SECTION: u8 = 7;
const FUNCTION: u8 = 0;

/// Reads the import and the export section.
pub(super) fn read(bytes: &[u8]) -> Result<Module, String> {
    let mut rest = bytes.strip_prefix(b"\0asm\x01\0\0\0").ok_or("not a WebAssembly module")?;
    let mut module = Module { imports: vec![], exports: vec![] };
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let mut section = take_sized(&mut rest)?;
        match id {
            IMPORT_SECTION => module.imports = imports(&mut section)?,
            EXPORT_SECTION => module.exports = exports(&mut section)?,
            _ => {}
        }
    }
    Ok(module)
}

/// The first import is enough to fail; its description, whose length depends on its kind, is what
/// would have to be read to reach the second.
fn imports(section: &mut &[u8]) -> Result<Vec<String>, String> {
    let count = number(section)?;
    if count == 0 {
        return Ok(vec![]);
    }
    let (module, name) = (name(section)?, name(section)?);
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    Ok(vec![format!("{module}.{name}{more}")])
}

fn exports(section: &mut &[u8]) -> Result<Vec<String>, String> {
    let mut found = vec![];
    for _ in 0..number(section)? {
        let name = name(section)?;
        let (&kind, rest) = section.split_first().ok_or(SHORT)?;
        *section = rest;
        number(section)?;
        if kind == FUNCTION {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

const SHORT: &str = "the module ends too early";

fn name(rest: &mut &[u8]) -> Result<String, String> {
    String::from_utf8(take_sized(rest)?.to_vec()).map_err(|it| it.to_string())
}

fn take_sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = number(rest)? as usize;
    let (taken, after) = rest.split_at_checked(length).ok_or(SHORT)?;
    *rest = after;
    Ok(taken)
}

/// An unsigned number of at most 32 bits in LEB128.
fn number(rest: &mut &[u8]) -> Result<u32, String> {
    let mut number = 0;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, after) = rest.split_first().ok_or(SHORT)?;
        *rest = after;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number of more than 32 bits".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn imports_and_exports_are_found() {
        let types = b"\x01\x04\x01\x60\x00\x00";
        let import = b"\x02\x0b\x01\x03env\x03now\x00\x00";
        let export = b"\x07\x0e\x02\x04echo\x00\x00\x03mem\x02\x00";
        let module = read(&[HEAD, types, import, export].concat()).unwrap();
        assert_eq!(module.imports, ["env.now"]);
        assert_eq!(module.exports, ["echo"]);
        let module = read(&[HEAD, types, export].concat()).unwrap();
        assert_eq!(module.imports, [""; 0]);
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(read(b"\x7fELF").is_err());
        assert!(read(&[HEAD, b"\x02\x7f\x01"].concat()).is_err());
        assert!(read(&[HEAD, b"\x02\xff\xff\xff\xff\xff\x01"].concat()).is_err());
    }
}
