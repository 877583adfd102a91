package powerloss

import "golang.org/x/sys/unix"

// skipCall has the call that a thread has begun not be made.
func skipCall(tid int) error {
	return changeRegisters(tid, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) })
}

// setResult changes what the call that a thread has ended returns.
func setResult(tid int, result int64) error {
	return changeRegisters(tid, func(r *unix.PtraceRegs) { r.Rax = uint64(result) })
}

func changeRegisters(tid int, change func(*unix.PtraceRegs)) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	change(&r)
	return unix.PtraceSetRegs(tid, &r)
}
