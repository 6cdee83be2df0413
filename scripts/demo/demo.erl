%% SPDX-License-Identifier: Apache-2.0
%% @doc The demo: measure every module of Python's own standard library, over
%% all contexts, with one of them segfaulted on purpose half-way.
-module(demo).

-export([main/0]).

-define(TOP, 8).

%% @doc Run it, print the result, and end the VM with a status.
-spec main() -> no_return().
main() ->
    Status = try
                 run(),
                 0
             catch
                 Class:Reason:Stack ->
                     io:format("~nthe demo failed: ~p~n~p~n", [{Class, Reason}, Stack]),
                     1
             end,
    init:stop(Status),
    receive after infinity -> ok end.

run() ->
    Early = os:getenv("TERRARIUM_RUNTIMES") =/= false,
    logger:set_primary_config(level, error),
    {ok, _} = application:ensure_all_started(terrarium),
    {ok, Version} = py:version(),
    Contexts = py_context_router:num_contexts(),
    io:format("~n== Terrarium, ~ts ==~nPython ~ts, ~b contexts, ~b schedulers~n",
              [how(Early), Version, Contexts, erlang:system_info(schedulers_online)]),
    ok = prepare(Contexts),
    Files = files(),
    io:format("~b files of the standard library~n~n", [length(Files)]),
    {One, _, none} = measure("one context ", Files, [1], false),
    {All, Results, Report} = measure("all contexts", Files, lists:seq(1, Contexts), true),
    show_crash(Report),
    show(Results),
    io:format("~nOne context: ~.1f s.  ~b contexts: ~.1f s, crash and repair included.  "
              "Speed-up: ~.2f~n", [One / 1.0e6, Contexts, All / 1.0e6, One / All]).

how(true) -> "started early, under the launcher";
how(false) -> "started late, in a plain erl".

prepare(Contexts) ->
    Dir = list_to_binary(filename:dirname(code:which(?MODULE))),
    lists:foreach(fun(N) ->
                      Ctx = py:context(N),
                      ok = py:exec(Ctx, ["import sys; sys.path.append('", Dir, "')"]),
                      {ok, _} = py:call(Ctx, stdlib_stats, measure, [<<"/dev/null">>])
                  end, lists:seq(1, Contexts)).

files() ->
    {ok, Stdlib} = py:eval("__import__('sysconfig').get_path('stdlib')"),
    All = filelib:fold_files(binary_to_list(Stdlib), "\\.py$", true,
                             fun(F, Acc) -> [F | Acc] end, []),
    [F || F <- lists:sort(All), string:find(F, "-packages/") =:= nomatch].

%%% The work: one Erlang process per context takes file after file

measure(Title, Files, Numbers, Crash) ->
    Boss = {self(), make_ref()},
    Total = length(Files),
    Before = erlang:monotonic_time(microsecond),
    Workers = [spawn_link(fun() -> work(Boss, N, py:context(N)) end) || N <- Numbers],
    State = hand_out(#{run => element(2, Boss), title => Title, files => Files, idle => [],
                       total => Total, results => [], crash => Crash, report => none}),
    Time = erlang:monotonic_time(microsecond) - Before,
    lists:foreach(fun(W) -> W ! done end, Workers),
    {Time, maps:get(results, State), maps:get(report, State)}.

hand_out(#{results := Results, total := Total} = State) when length(Results) =:= Total ->
    io:format("~n"),
    State;
hand_out(#{run := Run, files := Files, results := Results, idle := Idle} = State) ->
    receive
        {Run, {ready, Worker}} ->
            hand_out(give(Worker, Files, State));
        {Run, {measured, File, Result}} ->
            Next = State#{results := [{File, Result} | Results]},
            progress(Next),
            hand_out(Next);
        {Run, {crashed, File, Report}} ->
            lists:foreach(fun(Worker) -> self() ! {Run, {ready, Worker}} end, Idle),
            hand_out(State#{files := [File | Files], idle := [], report := Report})
    end.

%% Half-way, one file is handed out together with a segmentation fault; it is
%% measured again afterwards.
give(Worker, [File | Rest], #{crash := true, results := Results, total := Total} = State)
  when length(Results) * 2 >= Total ->
    Worker ! {crash, File},
    State#{files := Rest, crash := false};
give(Worker, [File | Rest], State) ->
    Worker ! {measure, File},
    State#{files := Rest};
give(Worker, [], #{idle := Idle} = State) ->
    State#{idle := [Worker | Idle]}.

tell({Pid, Run}, What) ->
    Pid ! {Run, What}.

work(Boss, N, Ctx) ->
    _ = tell(Boss, {ready, self()}),
    receive
        {measure, File} ->
            {ok, Result} = py:call(Ctx, stdlib_stats, measure, [list_to_binary(File)]),
            _ = tell(Boss, {measured, File, Result}),
            work(Boss, N, Ctx);
        {crash, File} ->
            {error, {crashed, Report}} = py:call(Ctx, ctypes, string_at, [0]),
            ok = prepare_again(Ctx),
            _ = tell(Boss, {crashed, File, Report#{context => N}}),
            work(Boss, N, Ctx);
        done ->
            ok
    end.

%% The context is back with fresh state: it needs its path again.
prepare_again(Ctx) ->
    Dir = list_to_binary(filename:dirname(code:which(?MODULE))),
    py:exec(Ctx, ["import sys; sys.path.append('", Dir, "')"]).

%%% What the user sees

progress(#{title := Title, results := Results, total := Total}) ->
    Done = length(Results),
    Width = 40,
    Bar = Done * Width div Total,
    case {io:columns(), Done =:= Total orelse Done rem max(1, Total div 10) =:= 0} of
        {{ok, _}, _} ->
            io:format("\r~s [~s~s] ~3b %", [Title, lists:duplicate(Bar, $#),
                                            lists:duplicate(Width - Bar, $.),
                                            Done * 100 div Total]);
        {_, true} ->
            io:format("~s ~3b %~n", [Title, Done * 100 div Total]);
        _ ->
            ok
    end.

show_crash(Report) ->
    io:format("~nHalf-way, context ~b was segfaulted on purpose. Its report:~n",
              [maps:get(context, Report)]),
    io:format("  signal     ~p~n", [maps:get(signal, Report)]),
    #{what := What} = maps:get(request, Report),
    io:format("  request    ~ts~n", [What]),
    Lines = [L || L <- string:split(maps:get(traceback, Report), "\n", all), L =/= <<>>],
    lists:foreach(fun(L) -> io:format("  traceback  ~ts~n", [L]) end, lists:sublist(Lines, 6)),
    #{maxrss_kb := Rss} = maps:get(rusage, Report),
    io:format("  memory     ~.1f MiB at most~n", [Rss / 1024]).

show(Results) ->
    Good = [{F, R} || {F, #{<<"lines">> := _} = R} <- Results],
    io:format("~nThe standard library~n"),
    Sum = fun(Key) -> lists:sum([maps:get(Key, R) || {_, R} <- Good]) end,
    lists:foreach(fun({Name, Value}) -> io:format("  ~-28ts ~10b~n", [Name, Value]) end,
                  [{"modules parsed", length(Good)},
                   {"with a syntax error", length(Results) - length(Good)},
                   {"lines", Sum(<<"lines">>)},
                   {"syntax tree nodes", Sum(<<"nodes">>)},
                   {"functions", Sum(<<"functions">>)},
                   {"classes", Sum(<<"classes">>)},
                   {"edges of the import graph",
                    lists:sum([length(maps:get(<<"imports">>, R)) || {_, R} <- Good])}]),
    show_longest(Good),
    show_imported(Good).

show_longest(Good) ->
    io:format("~nLongest functions~n"),
    Longest = [{Lines, Name, F} || {F, #{<<"longest">> := {Name, Lines}}} <- Good],
    lists:foreach(fun({Lines, Name, F}) ->
                      io:format("  ~5b lines  ~-32ts ~ts~n", [Lines, Name, short(F)])
                  end, lists:sublist(lists:reverse(lists:sort(Longest)), ?TOP)).

short(File) ->
    filename:join(lists:nthtail(max(0, length(filename:split(File)) - 2),
                                filename:split(File))).

show_imported(Good) ->
    io:format("~nMost imported modules~n"),
    Counts = lists:foldl(fun(Name, Acc) -> maps:update_with(Name, fun(N) -> N + 1 end, 1, Acc) end,
                         #{}, [I || {_, #{<<"imports">> := Is}} <- Good, I <- Is]),
    Sorted = lists:reverse(lists:sort([{N, Name} || {Name, N} <- maps:to_list(Counts)])),
    lists:foreach(fun({N, Name}) -> io:format("  ~5b files  ~ts~n", [N, Name]) end,
                  lists:sublist(Sorted, ?TOP)).
