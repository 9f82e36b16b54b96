//! The canonical writer, and exact sizes.

use alloc::vec::Vec;

/// Appends fields with minimal varints. Writing them in ascending order of their numbers is the caller's part of a reproducible encoding.
///
/// A nested message is encoded on its own and written with [`bytes`](Self::bytes); [`varint_field_len`] and [`bytes_field_len`] tell exact sizes, so
/// that memory is reserved once.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Appends a number (wire type 0).
    pub fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.raw_varint(value);
    }

    /// Appends a number of fixed length (wire type 1).
    pub fn fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends bytes, or an encoded nested message (wire type 2).
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.raw_varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// Appends text (wire type 2).
    pub fn string(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.raw_varint((u64::from(number) << 3) | wire_type);
    }

    fn raw_varint(&mut self, value: u64) {
        let mut writer = quick_protobuf::Writer::new(VecWriter(self.out));
        // Writing into memory cannot fail.
        let _infallible = writer.write_varint(value);
    }
}

/// The exact size of a number (wire type 0) with this field number and value.
pub fn varint_field_len(number: u32, value: u64) -> usize {
    quick_protobuf::sizeofs::sizeof_varint(u64::from(number) << 3)
        .saturating_add(quick_protobuf::sizeofs::sizeof_varint(value))
}

/// The exact size of a field of bytes (wire type 2) with this field number and length; saturates.
pub fn bytes_field_len(number: u32, len: usize) -> usize {
    quick_protobuf::sizeofs::sizeof_varint(u64::from(number) << 3)
        .saturating_add(quick_protobuf::sizeofs::sizeof_varint(len as u64))
        .saturating_add(len)
}

struct VecWriter<'a>(&'a mut Vec<u8>);

impl quick_protobuf::WriterBackend for VecWriter<'_> {
    fn pb_write_u8(&mut self, byte: u8) -> quick_protobuf::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn pb_write_u32(&mut self, value: u32) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn pb_write_i32(&mut self, value: i32) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn pb_write_f32(&mut self, value: f32) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn pb_write_u64(&mut self, value: u64) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn pb_write_i64(&mut self, value: i64) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn pb_write_f64(&mut self, value: f64) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn pb_write_all(&mut self, bytes: &[u8]) -> quick_protobuf::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
