package powerloss

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// skipCall has the call that a thread has begun not be made.
func skipCall(tid int) error {
	const systemCall = 0x404 // NT_ARM_SYSTEM_CALL
	none := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&none)), Len: uint64(unsafe.Sizeof(none))}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(tid), systemCall, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setResult changes what the call that a thread has ended returns.
func setResult(tid int, result int64) error {
	const general = 1 // NT_PRSTATUS
	var r unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tid, general, &r); err != nil {
		return err
	}
	r.Regs[0] = uint64(result)
	return unix.PtraceSetRegSetArm64(tid, general, &r)
}
