use super::*;

// covers: COR-008
#[test]
fn a_value_that_does_not_fit_the_word_is_an_error_and_is_never_cut() {
    // `u32` stands for the `usize` of a 32-bit target, whatever the target of this test.
    assert_eq!(narrow::<u32>(1 << 32), Err(Error::VarintTooLong));
    assert_eq!(narrow::<u32>(MAX), Err(Error::VarintTooLong));
    assert_eq!(narrow::<u32>((1 << 32) - 1), Ok(u32::MAX));
    assert_eq!(narrow::<u16>(1 << 32), Err(Error::VarintTooLong));
    let mut wire = Vec::new();
    encode(1 << 32, &mut wire);
    let expected = usize::try_from(1_u64 << 32).map_err(|_| Error::VarintTooLong);
    assert_eq!(decode_usize(&wire), expected.map(|value| (value, 5)));
    assert_eq!(decode_usize(&[0x80]), Err(Error::UnexpectedEnd));
    assert_eq!(decode_usize(&[0x81, 0x00]), Err(Error::VarintNotMinimal));
}
