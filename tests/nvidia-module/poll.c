// SPDX-License-Identifier: GPL-2.0 OR MIT
/* poll(2) on the driver's devices: ready once, some time after a test has requested it. */

#include <linux/module.h>
#include <linux/poll.h>
#include <linux/workqueue.h>

#include "nvidia.h"

#define WAKE_LIMIT_MS 10000u

static DECLARE_WAIT_QUEUE_HEAD(waiters);
static atomic_t ready = ATOMIC_INIT(0);

static void wake(struct work_struct *unused)
{
	atomic_set(&ready, 1);
	wake_up_interruptible(&waiters);
}

static DECLARE_DELAYED_WORK(alarm, wake);

static int set_wake(const char *text, const struct kernel_param *unused)
{
	unsigned int ms;
	int error = kstrtouint(text, 10, &ms);

	if (error)
		return error;
	if (ms > WAKE_LIMIT_MS)
		return -EINVAL;
	mod_delayed_work(system_wq, &alarm, msecs_to_jiffies(ms));
	return 0;
}

static const struct kernel_param_ops wake_ops = { .set = set_wake };
module_param_cb(wake_after_ms, &wake_ops, NULL, 0200);
MODULE_PARM_DESC(wake_after_ms, "write: make every device ready once after this many ms");

/* As in the driver, the first poll that reports the event clears it. */
__poll_t nvidia_poll(struct file *file, poll_table *table)
{
	poll_wait(file, &waiters, table);
	return atomic_xchg(&ready, 0) ? EPOLLIN | EPOLLPRI : 0;
}

void stand_in_poll_stop(void)
{
	cancel_delayed_work_sync(&alarm);
}
