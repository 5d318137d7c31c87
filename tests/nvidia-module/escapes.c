// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The structures of /dev/nvidiactl and /dev/nvidiaN: size and offset of the status, by release. */

#include <linux/kernel.h>

#include "nvidia.h"

#define ANY_SIZE (~0u)

static const struct form forms[] = {
	{ 0x27, 56, 40 },
	{ 0x28, 20, 16 },
	{ 0x29, 16, 12 },
	{ 0x2A, 32, 28 },
	{ 0x2B, 32, 28 },
	{ 0x2B, 48, 40 },
	{ 0x34, 28, 24 },
	{ 0x35, 24, 20 },
	{ 0x41, 56, 48 },
	{ 0x4A, 184, 20 },
	{ 0x4D, 72, 64 },
	{ 0x4E, 56, 40 },
	{ 0x4F, 32, 24 },
	{ 0x52, 16, 12 },
	{ 0x54, 56, 48 },
	{ 0x57, 56, 48, 0, RELEASE(580, 65, 6) },
	{ 0x57, 64, 56, RELEASE(580, 65, 6) },
	{ 0x58, 40, 32, 0, RELEASE(550, 40, 7) },
	{ 0x58, 48, 40, RELEASE(550, 40, 7) },
	{ 0x59, 16, 12 },
	{ 0x5E, 40, 32 },
	{ 0xC8, ANY_SIZE, NO_STATUS },
	{ 0xC9, 4, NO_STATUS },
	{ 0xCE, 16, 12 },
	{ 0xCF, 16, 12 },
	{ 0xD1, 12, 8 },
	{ 0xD2, 72, NO_STATUS },
	{ 0xD4, ANY_SIZE, NO_STATUS },
	{ 0xD5, 8, 4 },
	{ 0xD6, 8, NO_STATUS },
	/* Has no status: whether the GPU's memory is a NUMA node of the host. 0 means that it is not. */
	{ 0xD7, 560, 4 },
	{ 0xD8, 4, NO_STATUS },
	{ 0xD9, 2600, 2592, 0, RELEASE(570, 86, 15) },
	{ 0xD9, 2608, 2600, RELEASE(570, 86, 15) },
	{ 0xDA, 8, NO_STATUS, RELEASE(550, 40, 7) },
};

const struct form *form_of_escape(unsigned int number, unsigned int size)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *form = &forms[i];

		if (form->number == number && (form->size == size || form->size == ANY_SIZE) &&
		    form->since <= stand_in_release && (!form->until || stand_in_release < form->until))
			return form;
	}
	return NULL;
}
