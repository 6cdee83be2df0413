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
-define(IO_ERROR, 74).

%% @doc Take script and options from behind `-extra', run it, and end the VM with a
%% status that says how it went.
-spec main() -> no_return().
main() ->
    ok = prepare(),
    halt(try main([argument(A) || A <- init:get_plain_arguments()])
         catch Class:Reason:Stack ->
             complain(io_lib:format("~0tp", [{Class, Reason, Stack}]), ?SOFTWARE)
         end).

main(Arguments) ->
    case options(Arguments) of
        {ok, Script, Policy} -> with_file(Script, Policy);
        {error, Text} -> complain(Text, ?USAGE)
    end.

%% A signal ends us as it ends other programs: the VM would make it an end in peace.
prepare() ->
    _ = [io:setopts(Device, [{encoding, unicode}]) || Device <- [standard_io, standard_error]],
    lists:foreach(fun(Signal) -> ok = os:set_signal(Signal, default) end, [sigterm, sigquit]).

%% The bytes that were given, be they UTF-8 or not: a file may have any name.  OTP says
%% that all are strings.
-dialyzer({no_match, argument/1}).
argument({_, Good, Rest}) -> <<(unicode:characters_to_binary(Good))/binary, Rest/binary>>;
argument(Text) -> unicode:characters_to_binary(Text).

options([Script | Pairs]) ->
    options(Pairs, Script, #{level => default, limits => #{}}).

options([], Script, Policy) ->
    case py_policy:check(Policy) of
        {ok, _} -> {ok, Script, Policy};
        {error, {invalid, memory, _}} -> {error, "--memory: too large"};
        {error, {invalid, _, _}} -> {error, "--timeout: too long"}
    end;
options([<<"policy">>, Level | Rest], Script, Policy) ->
    case [L || L <- py_policy:levels(), atom_to_binary(L) =:= Level] of
        [Known] -> options(Rest, Script, Policy#{level := Known});
        [] -> {error, "--policy: default, strict or trusted"}
    end;
options([<<"timeout">>, Text | Rest], Script, #{limits := Limits} = Policy) ->
    case time(binary_to_list(Text)) of
        {ok, Ms} -> options(Rest, Script, Policy#{limits := Limits#{wall_ms => Ms,
                                                                    cpu_ms => Ms}});
        error -> {error, "--timeout: such as 5s or 500ms"}
    end;
options([<<"memory">>, Text | Rest], Script, #{limits := Limits} = Policy) ->
    case bytes(binary_to_list(Text)) of
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
    case file:read_file(file_of(Script)) of
        {ok, Bytes} ->
            case unicode:characters_to_binary([without_mark(Bytes), "\nNone\n"]) of
                %% The value of a script is not asked for.
                Code when is_binary(Code) -> run(Code, Policy);
                _ -> complain([Script, ": not UTF-8"], ?NO_INPUT)
            end;
        {error, Reason} ->
            complain([Script, ": ", file:format_error(Reason)], ?NO_INPUT)
    end.

file_of(<<"-">>) -> "/dev/stdin";
file_of(Script) -> Script.

%% As Python reads a file.
without_mark(<<16#ef, 16#bb, 16#bf, Rest/binary>>) -> Rest;
without_mark(Bytes) -> Bytes.

run(Code, Policy) ->
    ok = logger:set_primary_config(level, none),
    ok = application:load(terrarium),
    ok = application:set_env(terrarium, start_contexts, false),
    case application:ensure_all_started(terrarium) of
        {ok, _} ->
            Result = py_sandbox:run(Code, #{policy => Policy, spares => 0}),
            Shown = show(Result, py:last_error()),
            ok = application:stop(terrarium),
            case Shown of
                ok -> status(Result);
                lost -> complain("the output can not be written", ?IO_ERROR)
            end;
        {error, Reason} ->
            complain(io_lib:format("~0tp", [Reason]), ?SOFTWARE)
    end.

show({ok, #{stdout := Out, stderr := Err}}, _) ->
    printed(Out, Err);
show({error, Reason}, Last) when is_map(Last) ->
    Printed = printed(maps:get(stdout, Last, <<>>), maps:get(stderr, Last, <<>>)),
    _ = told(Reason, maps:get(traceback, Last, <<>>)),
    Printed;
show({error, Reason}, none) ->
    _ = told(Reason, <<>>),
    ok.

printed(Out, Err) ->
    Printed = put_text(standard_io, as_shown(Out, "1")),
    _ = put_text(standard_error, as_shown(Err, "2")),
    Printed.

%% A device that fails is gone by the next request.
put_text(Device, Text) ->
    try
        ok = io:put_chars(Device, Text),
        ok = io:put_chars(Device, ""),
        drained(whereis(user))
    catch
        error:_ -> lost
    end.

%% What a slow reader has not taken yet may still fail.
drained(User) when is_pid(User) ->
    {links, Links} = process_info(User, links),
    case [P || P <- Links, is_port(P), erlang:port_info(P, queue_size) =/= {queue_size, 0}] of
        [] -> ok;
        [_ | _] -> timer:sleep(10), drained(whereis(user))
    end;
drained(undefined) ->
    lost.

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

%% As python does: what is no status is said, and one that ends by itself says nothing.
told({"SystemExit", Message}, _) ->
    case own_status(Message) of
        text -> put_text(standard_error, [py_shown:text(Message), $\n]);
        _ -> ok
    end;
told({Type, _}, Traceback) when is_list(Type) ->
    put_text(standard_error, py_shown:text(Traceback));
told({crashed, #{exit_status := _}}, _) -> ok;
told(Reason, _) -> complain(text(Reason), 1).

text({limit, Which}) -> io_lib:format("over the limit: ~s", [Which]);
text({sandbox, {syscall, Name}}) -> io_lib:format("forbidden system call: ~s", [Name]);
text({sandbox, {unavailable, Layers}}) -> io_lib:format("not on this host: ~0p", [Layers]);
text({crashed, Report}) ->
    io_lib:format("died: ~0p", [maps:with([signal, exit_status, reason], Report)]);
text(Reason) -> io_lib:format("~0tp", [Reason]).

complain(Text, Status) ->
    _ = put_text(standard_error, ["terrarium: ", py_shown:text(raw(Text), 4096), $\n]),
    Status.

%% Names of files are bytes, and need not be text.
raw(Text) ->
    case unicode:characters_to_binary(Text) of
        Bytes when is_binary(Bytes) -> Bytes;
        _ -> iolist_to_binary(Text)
    end.

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
