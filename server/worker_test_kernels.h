// PTX for the worker's tests, as nvcc 13 made it from
//
//   __global__ void add(int* p, int value) { p[threadIdx.x] += value; }
//   __global__ void say(int value) { printf("value %d\n", value); }
//   __global__ void await_flag(volatile int* flag) { while (*flag == 0) {} }
//
// and a variable.
#pragma once

namespace farlane::server {

inline constexpr char kAddPtx[] = R"(
.version 8.0
.target sm_75
.address_size 64
.visible .global .align 4 .u32 counter = 42;
.visible .entry add(
	.param .u64 add_param_0,
	.param .u32 add_param_1
)
{
	.reg .b32 	%r<5>;
	.reg .b64 	%rd<5>;


	ld.param.u64 	%rd1, [add_param_0];
	ld.param.u32 	%r1, [add_param_1];
	cvta.to.global.u64 	%rd2, %rd1;
	mov.u32 	%r2, %tid.x;
	mul.wide.u32 	%rd3, %r2, 4;
	add.s64 	%rd4, %rd2, %rd3;
	ld.global.u32 	%r3, [%rd4];
	add.s32 	%r4, %r3, %r1;
	st.global.u32 	[%rd4], %r4;
	ret;

}
.visible .entry await_flag(
	.param .u64 await_flag_param_0
)
{
	.reg .pred 	%p<2>;
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<3>;


	ld.param.u64 	%rd2, [await_flag_param_0];
	cvta.to.global.u64 	%rd1, %rd2;

$L__BB2_1:
	ld.volatile.global.u32 	%r1, [%rd1];
	setp.eq.s32 	%p1, %r1, 0;
	@%p1 bra 	$L__BB2_1;

	ret;

}
)";

inline constexpr char kSayPtx[] = R"(
.version 8.0
.target sm_75
.address_size 64
.extern .func  (.param .b32 func_retval0) vprintf
(
	.param .b64 vprintf_param_0,
	.param .b64 vprintf_param_1
)
;
.global .align 1 .b8 $str[10] = {118, 97, 108, 117, 101, 32, 37, 100, 10};
.visible .entry say(
	.param .u32 say_param_0
)
{
	.local .align 8 .b8 	__local_depot1[8];
	.reg .b64 	%SP;
	.reg .b64 	%SPL;
	.reg .b32 	%r<3>;
	.reg .b64 	%rd<5>;


	mov.u64 	%SPL, __local_depot1;
	cvta.local.u64 	%SP, %SPL;
	ld.param.u32 	%r1, [say_param_0];
	add.u64 	%rd1, %SP, 0;
	add.u64 	%rd2, %SPL, 0;
	st.local.u32 	[%rd2], %r1;
	mov.u64 	%rd3, $str;
	cvta.global.u64 	%rd4, %rd3;
	{ // callseq 0, 0
	.reg .b32 temp_param_reg;
	.param .b64 param0;
	st.param.b64 	[param0+0], %rd4;
	.param .b64 param1;
	st.param.b64 	[param1+0], %rd1;
	.param .b32 retval0;
	call.uni (retval0), 
	vprintf, 
	(
	param0, 
	param1
	);
	ld.param.b32 	%r2, [retval0+0];
	} // callseq 0
	ret;

}
)";

}  // namespace farlane::server
