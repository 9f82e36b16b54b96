//! A libp2p node on an STM32F405 without an operating system: it speaks Noise and yamux over its serial line, asks the peer at the other end who it is,
//! pings it, and says how long that took.
#![no_std]
#![no_main]

extern crate alloc;

mod clock;
mod node;
mod program;
mod serial;

/// The heap: what is left of 128 KiB is the stack.
#[global_allocator]
static HEAP: emballoc::Allocator<{ 48 * 1024 }> = emballoc::Allocator::new();

#[rtic::app(device = stm32f4::stm32f405, peripherals = true)]
mod app {
    use crate::{
        clock::{self, Clock},
        program,
        serial::{self, RING, Serial},
    };
    use heapless::spsc::{Consumer, Producer, Queue};
    use stm32f4::stm32f405::USART1;

    #[shared]
    struct Shared {
        line: USART1,
    }

    #[local]
    struct Local {
        clock: Clock,
        arrived: Producer<'static, u8>,
        waiting: Consumer<'static, u8>,
    }

    #[init(local = [ring: Queue<u8, RING> = Queue::new()])]
    fn init(cx: init::Context) -> (Shared, Local) {
        let line = cx.device.USART1;
        serial::open(&line, &cx.device.RCC);
        let clock = Clock::start(cx.core.SYST);
        let (arrived, waiting) = cx.local.ring.split();
        let local = Local {
            clock,
            arrived,
            waiting,
        };
        (Shared { line }, local)
    }

    #[idle(shared = [line], local = [clock, waiting])]
    fn idle(cx: idle::Context) -> ! {
        program::main(cx.local.clock, Serial::new(cx.shared.line, cx.local.waiting))
    }

    #[task(binds = USART1, shared = [line], local = [arrived])]
    fn byte_came(mut cx: byte_came::Context) {
        let ring = cx.local.arrived;
        cx.shared.line.lock(|line| serial::receive(line, ring));
    }

    #[task(binds = SysTick, priority = 2)]
    fn millisecond(_: millisecond::Context) {
        clock::tick();
    }
}
