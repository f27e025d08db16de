/* A file STOP asks, is answered once, and what an earlier run answered is forgotten. */
#include "base/file.h"
#include "support/model_files.h"
#include "train/run/stop_request.h"

#include <stdio.h>

enum { PATH_BYTES = 512 };

typedef struct place {
    char folder[PATH_BYTES];
    char asked[PATH_BYTES];
    char answered[PATH_BYTES];
    fr_stop_request request;
} place;

static void open_place(place *p)
{
    (void)snprintf(p->folder, sizeof p->folder, "%s", fr_test_folder());
    (void)snprintf(p->asked, sizeof p->asked, "%s", fr_test_path(p->folder, "STOP"));
    (void)snprintf(p->answered, sizeof p->answered, "%s",
                   fr_test_path(p->folder, "STOPPED"));
    p->request = (fr_stop_request){fr_test_ctx(), NULL, p->folder};
}

static void a_file_asks_until_it_is_answered(void)
{
    place p;
    open_place(&p);
    CU_ASSERT_FALSE(fr_stop_request_is_made(&p.request));
    fr_stop_request_answer(&p.request); /* nothing was asked */
    CU_ASSERT_FALSE(fr_file_exists(p.answered));
    fr_test_write_text(p.asked, "");
    CU_ASSERT_TRUE(fr_stop_request_is_made(&p.request));
    CU_ASSERT_TRUE(fr_stop_request_is_made(&p.request));
    fr_stop_request_answer(&p.request);
    CU_ASSERT_FALSE(fr_stop_request_is_made(&p.request));
    CU_ASSERT_TRUE(fr_file_exists(p.answered) && !fr_file_exists(p.asked));
}

static void an_old_answer_is_forgotten_but_a_new_request_stays(void)
{
    place p;
    open_place(&p);
    fr_test_write_text(p.asked, "");
    fr_test_write_text(p.answered, "");
    fr_stop_request_forget(&p.request);
    CU_ASSERT_FALSE(fr_file_exists(p.answered));
    CU_ASSERT_TRUE(fr_stop_request_is_made(&p.request));
}

static void other_ranks_leave_the_folder_alone(void)
{
    place p;
    open_place(&p);
    fr_test_write_text(p.asked, "");
    p.request.folder = NULL;
    CU_ASSERT_FALSE(fr_stop_request_is_made(&p.request));
    fr_stop_request_answer(&p.request);
    fr_stop_request_forget(&p.request);
    CU_ASSERT_TRUE(fr_file_exists(p.asked));
}

static const fr_case CASES[] = {
    FR_CASE(a_file_asks_until_it_is_answered),
    FR_CASE(an_old_answer_is_forgotten_but_a_new_request_stays),
    FR_CASE(other_ranks_leave_the_folder_alone),
};

int main(int argc, char **argv)
{
    return fr_suite_main("stop_request", CASES, FR_N_CASES(CASES), argc, argv);
}
