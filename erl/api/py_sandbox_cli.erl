%% SPDX-License-Identifier: Apache-2.0
%% @doc `terrarium run SCRIPT': a script in a sandbox, from a shell.
%%
%% Runs in a VM of its own, which the launcher starts and which ends with the script.
%% What the script printed appears when it has ended.
-module(py_sandbox_cli).

-export([main/0, time/1, bytes/1, status/1]).

-define(USAGE, 64).
-define(NO_INPUT, 66).
-define(UNAVAILABLE, 69).
-define(SOFTWARE, 70).

%% @doc Take script and options from behind `-extra', run it, and end the VM with a
%% status that says how it went.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    Status = case options(init:get_plain_arguments()) of
                 {ok, Script, Policy} -> with_file(Script, Policy);
                 {error, Text} -> complain(Text, ?USAGE)
             end,
    halt(Status).

options([Script | Pairs]) ->
    options(Pairs, Script, #{level => default, limits => #{}}).

options([], Script, Policy) ->
    case py_policy:check(Policy) of
        {ok, _} -> {ok, Script, Policy};
        {error, {invalid, Key, _}} -> {error, io_lib:format("--~s: cannot be", [Key])}
    end;
options(["policy", Level | Rest], Script, Policy) ->
    case [L || L <- py_policy:levels(), atom_to_list(L) =:= Level] of
        [Known] -> options(Rest, Script, Policy#{level := Known});
        [] -> {error, "--policy: default, strict or trusted"}
    end;
options(["timeout", Text | Rest], Script, #{limits := Limits} = Policy) ->
    case time(Text) of
        {ok, Ms} -> options(Rest, Script, Policy#{limits := Limits#{wall_ms => Ms,
                                                                    cpu_ms => Ms}});
        error -> {error, "--timeout: such as 5s or 500ms"}
    end;
options(["memory", Text | Rest], Script, #{limits := Limits} = Policy) ->
    case bytes(Text) of
        {ok, Bytes} -> options(Rest, Script, Policy#{limits := Limits#{memory => Bytes}});
        error -> {error, "--memory: such as 256M or 1G"}
    end.

%% @doc Milliseconds of a text such as "5s", "500ms" or "2m".
-spec time(string()) -> {ok, pos_integer()} | error.
time(Text) ->
    number(Text, #{"ms" => 1, "s" => 1000, "" => 1000, "m" => 60000}).

%% @doc Bytes of a text such as "256M".
-spec bytes(string()) -> {ok, pos_integer()} | error.
bytes(Text) ->
    number(Text, #{"" => 1, "K" => 1 bsl 10, "M" => 1 bsl 20, "G" => 1 bsl 30}).

number(Text, Units) ->
    case string:to_integer(Text) of
        {N, Unit} when is_integer(N), N > 0, is_map_key(Unit, Units) ->
            {ok, N * maps:get(Unit, Units)};
        _ ->
            error
    end.

%%% The run

with_file(Script, Policy) ->
    case file:read_file(Script) of
        {ok, Bytes} ->
            case unicode:characters_to_binary([Bytes, "\nNone\n"]) of
                %% The value of a script is not asked for.
                Code when is_binary(Code) -> run(Code, Policy);
                _ -> complain([Script, ": not UTF-8"], ?NO_INPUT)
            end;
        {error, Reason} ->
            complain([Script, ": ", file:format_error(Reason)], ?NO_INPUT)
    end.

run(Code, Policy) ->
    ok = logger:set_primary_config(level, none),
    ok = application:load(terrarium),
    ok = application:set_env(terrarium, start_contexts, false),
    case application:ensure_all_started(terrarium) of
        {ok, _} ->
            Result = py_sandbox:run(Code, #{policy => Policy, spares => 0}),
            ok = show(Result, py:last_error()),
            ok = application:stop(terrarium),
            status(Result);
        {error, Reason} ->
            complain(io_lib:format("~0tp", [Reason]), ?SOFTWARE)
    end.

show({ok, #{stdout := Out, stderr := Err}}, _) ->
    printed(Out, Err);
show({error, Reason}, Last) when is_map(Last) ->
    printed(maps:get(stdout, Last, <<>>), maps:get(stderr, Last, <<>>)),
    told(Reason, maps:get(traceback, Last, <<>>));
show({error, Reason}, none) ->
    told(Reason, <<>>).

printed(Out, Err) ->
    ok = io:put_chars(standard_io, as_shown(Out, "1")),
    io:put_chars(standard_error, as_shown(Err, "2")).

%% To a program it goes as it is; a terminal does not get commands from strangers.
as_shown(Text, Fd) ->
    case is_terminal(file:read_link("/proc/self/fd/" ++ Fd)) of
        true -> py_shown:text(Text);
        false -> Text
    end.

is_terminal({ok, "/dev/pts/" ++ _}) -> true;
is_terminal({ok, "/dev/tty" ++ _}) -> true;
is_terminal({ok, "/dev/console"}) -> true;
is_terminal(_) -> false.

told({"SystemExit", Message}, _) ->
    case own_status(Message) of
        text -> io:put_chars(standard_error, [py_shown:text(Message), $\n]);
        _ -> ok
    end;
told({Type, _}, Traceback) when is_list(Type) ->
    io:put_chars(standard_error, py_shown:text(Traceback));
told(Reason, _) -> _ = complain(text(Reason), 1), ok.

text({limit, Which}) -> io_lib:format("over the limit: ~s", [Which]);
text({sandbox, {syscall, Name}}) -> io_lib:format("forbidden system call: ~s", [Name]);
text({sandbox, {unavailable, Layers}}) -> io_lib:format("not on this host: ~0p", [Layers]);
text({crashed, Report}) ->
    io_lib:format("died: ~0p", [maps:with([signal, exit_status, reason], Report)]);
text(Reason) -> io_lib:format("~0tp", [Reason]).

complain(Text, Status) ->
    io:format(standard_error, "terrarium: ~ts~n", [py_shown:text(Text, 4096)]),
    Status.

%%% How it ended

%% @doc The exit status that stands for a result.
-spec status(py_sandbox:result()) -> 0..255.
status({ok, _}) -> 0;
status({error, {"SystemExit", Message}}) ->
    case own_status(Message) of
        text -> 1;
        Status -> Status
    end;
status({error, {Type, _}}) when is_list(Type) -> 1;
status({error, {limit, Which}}) -> limit(Which);
status({error, {sandbox, {syscall, _}}}) -> 126;
status({error, {sandbox, _}}) -> ?UNAVAILABLE;
status({error, {crashed, #{exit_status := N}}}) -> N;
status({error, {crashed, #{signal := Signal}}}) ->
    128 + py_context_core:signal_number(Signal);
status({error, _}) -> ?SOFTWARE.

%% As python does: None is 0, a number is itself; any other text is shown, and is 1.
own_status(None) when None =:= ""; None =:= "None"; None =:= "False" -> 0;
own_status("True") -> 1;
own_status(Message) ->
    case string:to_integer(Message) of
        {N, ""} when is_integer(N) -> N band 255;
        _ -> text
    end.

limit(memory) -> 137;
limit(output_bytes) -> 125;
limit(_) -> 124.
