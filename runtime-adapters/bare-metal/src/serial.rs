//! The serial line: 115 200 baud, 8 bits, no parity.

use alloc::vec::Vec;
use heapless::spsc::{Consumer, Producer};
use rtic::Mutex;
use stm32f4::stm32f405::{RCC, USART1};

/// Bytes that may wait between the interrupt and the loop, one less.
pub(crate) const RING: usize = 1024;

/// Sets the line up. With `rts` and `cts` wired, a full ring stops the other end: nothing is lost while a signature is being checked.
pub(crate) fn open(line: &USART1, clocks: &RCC) {
    clocks.apb2enr().modify(|_, w| w.usart1en().set_bit());
    // 16 MHz, what the chip starts with, divided by 16 times the rate: 8 + 11/16.
    line.brr()
        .write(|w| w.div_mantissa().set(8).div_fraction().set(11));
    line.cr3().write(|w| w.rtse().set_bit().ctse().set_bit());
    line.cr1().write(|w| {
        w.ue().set_bit();
        w.re().set_bit();
        w.te().set_bit();
        w.rxneie().set_bit()
    });
}

/// A byte has come: puts it into the ring, or lets it and all behind it wait.
pub(crate) fn receive(line: &USART1, ring: &mut Producer<'static, u8>) {
    while line.sr().read().rxne().bit_is_set() {
        if !ring.ready() {
            line.cr1().modify(|_, w| w.rxneie().clear_bit());
            return;
        }
        let [byte, _] = line.dr().read().dr().bits().to_le_bytes();
        // There is room: the loop only makes more.
        let _full = ring.enqueue(byte);
    }
}

/// The line, as the loop sees it.
pub(crate) struct Serial<M> {
    line: M,
    ring: &'static mut Consumer<'static, u8>,
}

impl<M: Mutex<T = USART1>> Serial<M> {
    pub(crate) const fn new(line: M, ring: &'static mut Consumer<'static, u8>) -> Self {
        Self { line, ring }
    }

    /// Appends what has come to `into`; says whether there was anything.
    pub(crate) fn read(&mut self, into: &mut Vec<u8>) -> bool {
        let before = into.len();
        into.extend(core::iter::from_fn(|| self.ring.dequeue()));
        let any = into.len() > before;
        if any {
            // If the ring was full, bytes wait outside.
            self.line
                .lock(|line| line.cr1().modify(|_, w| w.rxneie().set_bit()));
        }
        any
    }

    /// Sends one byte, unless the last one is still leaving.
    pub(crate) fn write(&mut self, byte: u8) -> bool {
        self.line.lock(|line| {
            let free = line.sr().read().txe().bit_is_set();
            if free {
                line.dr().write(|w| w.dr().set(byte.into()));
            }
            free
        })
    }
}
