#include "train/checkpoint/progress.h"

#include <math.h>

fr_progress fr_progress_start(void)
{
    return (fr_progress){.best_loss = (double)INFINITY,
                         .valid_loss = (double)INFINITY,
                         .base_loss = (double)INFINITY,
                         .init_loss = (double)INFINITY};
}
