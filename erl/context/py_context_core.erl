%% SPDX-License-Identifier: Apache-2.0
%% @doc What the end of a helper means.  Pure.
-module(py_context_core).

-export([new/0, closed/2, exited/2, complete/1, verdict/2, report/1, boot_reason/1]).
-export([refusal/1, signal_number/1]).

-export_type([death/0, verdict/0]).

%% In wire/handoff.h: it could not be locked up.
-define(EXIT_SANDBOX, 77).
-define(SIGSYS, 31).
%% Linux numbers; the same on all architectures where they matter here.
-define(SIGNALS, [{1, sighup}, {2, sigint}, {3, sigquit}, {4, sigill}, {5, sigtrap}, {6, sigabrt},
                  {7, sigbus}, {8, sigfpe}, {9, sigkill}, {10, sigusr1}, {11, sigsegv},
                  {12, sigusr2}, {13, sigpipe}, {14, sigalrm}, {15, sigterm}, {24, sigxcpu},
                  {25, sigxfsz}, {31, sigsys}]).

-type verdict() :: {crashed, map()} | {protocol, binary()} | {limit, atom()}
                 | {sandbox, {syscall, binary() | unknown} | {failed, binary()}}.

-record(death, {closed = none, exited = none}).

-opaque death() :: #death{}.
%% What is known so far about the end of a helper: its socket, its process.

%% @doc Nothing happened yet.
-spec new() -> death().
new() ->
    #death{}.

%% @doc Its socket ended, with this reason of the driver.
-spec closed(term(), death()) -> death().
closed(Reason, Death) ->
    Death#death{closed = Reason}.

%% @doc Its process ended: the zygote's message, or `zygote_down' where there
%% is nobody left to send one.
-spec exited(map() | zygote_down, death()) -> death().
exited(Exited, Death) ->
    Death#death{exited = Exited}.

%% @doc Are both halves known?
-spec complete(death()) -> boolean().
complete(#death{closed = Closed, exited = Exited}) ->
    Closed =/= none andalso Exited =/= none.

%% @doc What those who wait are told.  `over': it has printed too much; `locked': its
%% context has a sandbox; `hello': it had come to serve.
-spec verdict(death(), #{pid := term(), stderr := binary(), over => boolean(),
                         locked => boolean(), hello => boolean()}) -> verdict().
verdict(#death{closed = {protocol, Text}}, _) ->
    {protocol, Text};
verdict(#death{closed = {limit, Name}}, _) ->
    {limit, limit(Name)};
verdict(_, #{over := true}) ->
    {limit, output_bytes};
verdict(#death{exited = #{<<"limit">> := <<"cpu_ms">>}}, _) ->
    {limit, cpu_ms};
verdict(#death{exited = #{<<"limit">> := <<"memory">>}}, _) ->
    {limit, memory};
verdict(#death{exited = #{<<"status">> := ?EXIT_SANDBOX}}, #{hello := false, stderr := Text}) ->
    {sandbox, {failed, Text}};
verdict(#death{exited = #{<<"signal">> := ?SIGSYS} = Exited}, #{locked := true}) ->
    {sandbox, {syscall, maps:get(<<"syscall">>, Exited, unknown)}};
verdict(#death{exited = #{<<"oom">> := true}}, #{locked := true}) ->
    {limit, memory};
verdict(#death{closed = Closed, exited = Exited}, More) ->
    {crashed, report(More#{closed => Closed, exited => Exited})}.

%% The driver's own names.
limit(<<"term_depth">>) -> term_depth;
limit(<<"term_words">>) -> term_words;
limit(<<"callbacks">>) -> callbacks;
limit(<<"callback_depth">>) -> callback_depth.

%% @doc Why there is no helper, as a context says it.
-spec refusal(term()) -> term().
refusal({missing_layers, Names}) ->
    {sandbox, {unavailable, py_policy:layers(Names)}};
refusal(Reason) ->
    Reason.

%% @doc The crash report.  Keys:
%% <ul>
%% <li>`signal' (an atom such as `sigsegv', or a number) or `exit_status'</li>
%% <li>`request': `#{opcode, what}' of what was being run, or `none'</li>
%% <li>`traceback': where Python was, as text; `stderr': the last it said</li>
%% <li>`rusage': times in microseconds, memory in KiB, as the system counts</li>
%% <li>`pid', `core' (whether a core was dumped)</li>
%% <li>`reason': `timeout' (killed after the grace), `runtime_down' (its zygote
%%   died), `out_of_memory' (by the kernel, as its counters say), `unknown'
%%   (nothing was heard of its end)</li>
%% </ul>
-spec report(map()) -> map().
report(#{closed := Closed, exited := Exited, pid := Pid, stderr := Stderr}) ->
    Base = #{pid => Pid, stderr => Stderr, request => none, traceback => <<>>, rusage => #{}},
    reason(Closed, ending(Exited, Base)).

ending(Exited, Report) when is_map(Exited) ->
    Known = Report#{request => request(maps:get(<<"request">>, Exited, none)),
                    traceback => maps:get(<<"traceback">>, Exited, <<>>),
                    rusage => rusage(maps:get(<<"rusage">>, Exited, #{})),
                    core => maps:get(<<"core">>, Exited, false)},
    case Exited of
        #{<<"oom">> := true, <<"signal">> := Signal} ->
            Known#{signal => signal(Signal), reason => out_of_memory};
        #{<<"signal">> := Signal} -> Known#{signal => signal(Signal)};
        #{<<"status">> := Status} -> Known#{exit_status => Status};
        _ -> Known
    end;
ending(zygote_down, Report) ->
    Report#{reason => runtime_down};
ending(none, Report) ->
    Report#{reason => unknown}.

reason(timeout, Report) -> Report#{reason => timeout};
reason(_, Report) -> Report.

request(#{<<"what">> := What} = Request) ->
    #{what => What, opcode => maps:get(<<"opcode">>, Request, 0)};
request(_) ->
    none.

rusage(Map) when is_map(Map) ->
    Keys = [{<<"utime_us">>, utime_us}, {<<"stime_us">>, stime_us},
            {<<"maxrss_kb">>, maxrss_kb}, {<<"minflt">>, minflt}, {<<"majflt">>, majflt},
            {<<"nvcsw">>, nvcsw}, {<<"nivcsw">>, nivcsw}],
    maps:from_list([{Atom, maps:get(Key, Map)} || {Key, Atom} <- Keys, is_map_key(Key, Map)]);
rusage(_) ->
    #{}.

signal(N) ->
    case lists:keyfind(N, 1, ?SIGNALS) of
        {_, Name} -> Name;
        false -> N
    end.

%% @doc The number of a signal, as reports have it.
-spec signal_number(atom() | integer()) -> integer().
signal_number(N) when is_integer(N) ->
    N;
signal_number(Name) ->
    {N, _} = lists:keyfind(Name, 2, ?SIGNALS),
    N.

%% @doc Why a boot failed, from the body of its ERROR.
-spec boot_reason(binary()) -> {boot_failed, term()}.
boot_reason(Body) ->
    try
        {Type, Message, Story} = binary_to_term(Body, [safe]),
        {boot_failed, {Type, Message ++ where(Story)}}
    catch
        error:_ -> {boot_failed, unknown}
    end.

%% The line of the code that contexts run at their start, where it was that. (A
%% SyntaxError says so itself.)
where(Story) ->
    case py_story:decode(Story) of
        {ok, #{<<"frames">> := Frames}} -> line(py_story:maps(Frames));
        _ -> ""
    end.

line(Frames) ->
    case [{File, Line} || #{<<"file">> := File, <<"line">> := Line} <- lists:reverse(Frames),
                          lists:member(File, [<<"<preload>">>, <<"<preload_code>">>])] of
        [{File, Line} | _] -> lists:flatten(io_lib:format(" (~ts, line ~b)", [File, Line]));
        [] -> ""
    end.
