#include "base/ctx.h"

int main(void)
{
    return 2;
}
