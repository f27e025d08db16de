#include "comm/group.h"
#include "support/suite.h"

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return 1;
}
